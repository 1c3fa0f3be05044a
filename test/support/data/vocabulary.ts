import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import type {TokenizerFiles} from '../../../src/data/tokenizer.js';
import {goldenBytes} from '../golden/golden.js';

/** The built-in OFA vocabulary, 59,457 ids. */
export function ofaVocabulary(): TokenizerFiles {
  const text = (name: string): string =>
    zlib
      .gunzipSync(fs.readFileSync(path.join(import.meta.dirname, '..', '..', '..', 'vocabulary', `${name}.gz`)))
      .toString('utf8');
  return {
    dict: text('dict.txt'),
    encoder: text('encoder.json'),
    merges: text('vocab.bpe'),
    codeDictSize: 8192,
    numBins: 1000,
  };
}

/** The micro model's: a pruned dictionary, the full BPE files. */
export function microVocabulary(): TokenizerFiles {
  return {
    ...ofaVocabulary(),
    dict: new TextDecoder().decode(goldenBytes('dict_micro.txt')),
    codeDictSize: 16,
    numBins: 32,
  };
}

/** CLIP's merges. */
export function clipMerges(): string {
  const file = path.join(import.meta.dirname, '..', '..', '..', 'vocabulary', 'clip', 'bpe_simple_vocab_16e6.txt.gz');
  return zlib.gunzipSync(fs.readFileSync(file)).toString('utf8');
}
