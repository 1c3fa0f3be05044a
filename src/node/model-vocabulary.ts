import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {gunzipSync} from 'node:zlib';
import type {VocabularyKind} from '../models/family.js';
import {WeightsError} from '../runtime/errors.js';
import {checkVocabulary, findVocabulary, storedVocabulary} from './vocabulary-files.js';

/** The vocabulary that a model folder gets. */
export interface ModelVocabulary {
  /** For reports: a folder or file, or 'built-in'; of the words and of the byte pairs. */
  readonly origin: string;
  readonly bpeOrigin: string;
  /** Lines of the file that names the words. */
  readonly lines: number;
  readonly ids: number;
  /** As a converted model stores them. */
  readonly files: ReadonlyMap<string, Buffer>;
}

const MERGES = 'bpe_simple_vocab_16e6.txt.gz';
const BUILT_IN_MERGES = fileURLToPath(new URL(`../../vocabulary/clip/${MERGES}`, import.meta.url));
const MAX_BYTES = 64 * 2 ** 20;

/**
 * The vocabulary for a model.
 * @param vocab what the caller names: a folder or a file
 * @param folder that the weights are in
 * @param bpeDir folder beside the weights that the checkpoint's settings name
 * @throws WeightsError if what the caller named is not there, or does not fit the model
 */
export function vocabularyFor(kind: VocabularyKind, vocab: string | undefined, folder: string, bpeDir?: string): ModelVocabulary {
  if (kind.kind === 'merges') return merges(kind.vocab_size, vocab, folder);
  const found = findVocabulary(vocab, folder, bpeDir);
  const lines = checkVocabulary(found, kind);
  return {origin: found.origin, bpeOrigin: found.bpeOrigin, lines, ids: kind.vocab_size, files: storedVocabulary(found)};
}

function merges(ids: number, vocab: string | undefined, folder: string): ModelVocabulary {
  const isFile = (file: string): boolean => fs.statSync(file, {throwIfNoEntry: false})?.isFile() ?? false;
  const named = vocab === undefined ? path.join(folder, MERGES) : isFile(vocab) ? vocab : path.join(vocab, MERGES);
  if (vocab !== undefined && !isFile(named))
    throw new WeightsError('no-vocabulary', `${vocab}: no list of merges: ${MERGES}, or a folder with it, is wanted.`);
  const own = isFile(named);
  const file = own ? named : BUILT_IN_MERGES;
  const bytes = fs.readFileSync(file);
  let text: string;
  try {
    text = gunzipSync(bytes, {maxOutputLength: MAX_BYTES}).toString('utf8');
  } catch (cause) {
    throw new WeightsError('bad-vocabulary', `${file}: cannot be unpacked.`, {cause});
  }
  const origin = own ? named : 'built-in';
  return {origin, bpeOrigin: origin, lines: text.trimEnd().split('\n').length, ids, files: new Map([[MERGES, bytes]])};
}
