import fs from 'node:fs';
import path from 'node:path';
import {gzipSync} from 'node:zlib';
import type {VocabularyKind} from '../../models/family.js';
import {WeightsError} from '../../runtime/errors.js';
import {
  builtInClipFile,
  CLIP_MERGES,
  checkVocabulary,
  findClipMerges,
  findVocabulary,
  storedVocabulary,
} from './vocabulary-files.js';

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

/**
 * The vocabulary for a model.
 * @param vocab what the caller names: a folder or a file
 * @param folder that the weights are in
 * @param bpeDir folder beside the weights that the checkpoint's settings name
 * @throws WeightsError if what the caller named is not there, or does not fit the model
 */
export function vocabularyFor(
  kind: VocabularyKind,
  vocab: string | undefined,
  folder: string,
  bpeDir?: string,
): ModelVocabulary {
  if (kind.kind === 'merges') return merges(kind.vocab_size, vocab, folder);
  const found = findVocabulary(vocab, folder, bpeDir);
  const lines = checkVocabulary(found, kind);
  return {
    origin: found.origin,
    bpeOrigin: found.bpeOrigin,
    lines,
    ids: kind.vocab_size,
    files: storedVocabulary(found),
  };
}

function merges(ids: number, vocab: string | undefined, folder: string): ModelVocabulary {
  const isFile = vocab !== undefined && (fs.statSync(vocab, {throwIfNoEntry: false})?.isFile() ?? false);
  const home = isFile ? path.dirname(vocab) : (vocab ?? folder);
  const own = fs.existsSync(path.join(home, `${CLIP_MERGES}.gz`)) || fs.existsSync(path.join(home, CLIP_MERGES));
  if (vocab !== undefined && !own)
    throw new WeightsError(
      'no-vocabulary',
      `${vocab}: no list of merges: ${CLIP_MERGES}, or a folder with it, is wanted.`,
    );
  const text = findClipMerges(home);
  const origin = own ? home : 'built-in';
  // Packing is deterministic; the built-in file is stored as it came.
  const builtIn = findClipMerges();
  const packed = text.equals(builtIn) ? builtInClipFile() : gzipSync(text, {level: 9});
  const lines = text.toString('utf8').trimEnd().split('\n').length;
  return {origin, bpeOrigin: origin, lines, ids, files: new Map([[`${CLIP_MERGES}.gz`, packed]])};
}
