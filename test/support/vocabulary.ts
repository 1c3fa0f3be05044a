import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import type {TokenizerFiles} from '../../src/data/tokenizer.js';

/** The built-in OFA vocabulary, 59,457 ids. */
export function ofaVocabulary(): TokenizerFiles {
  const text = (name: string): string =>
    zlib.gunzipSync(fs.readFileSync(path.join(import.meta.dirname, '..', '..', 'vocabulary', `${name}.gz`))).toString('utf8');
  return {dict: text('dict.txt'), encoder: text('encoder.json'), merges: text('vocab.bpe'), codeDictSize: 8192, numBins: 1000};
}
