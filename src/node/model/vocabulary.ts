import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import zlib from 'node:zlib';
import {Tokenizer} from '../../data/tokenizer.js';
import type {VocabularyKind} from '../../models/family.js';
import {WeightsError} from '../../runtime/errors.js';
import {decodeText, namedEntry, readRegularFile, whyUnreadable} from '../files/regular-file.js';

/** The three files of a fairseq vocabulary, unpacked, and their origin. */
interface VocabularyFiles {
  readonly dict: Buffer;
  readonly encoder: Buffer;
  readonly merges: Buffer;
  /** The dictionary's folder or file, or 'built-in'; for reports. */
  readonly origin: string;
  /** The folder of the BPE files, or 'built-in'; for reports. */
  readonly bpeOrigin: string;
}

const BUILT_IN = fileURLToPath(new URL('../../../vocabulary/', import.meta.url));
const CLIP_MERGES = 'bpe_simple_vocab_16e6.txt';
const MAX_BYTES = 64 * 2 ** 20;

/** The bytes of a file or of its `.gz`, unpacked; null if there is neither. */
function readMaybe(folder: string, name: string): Buffer | null {
  for (const file of [path.join(folder, name), path.join(folder, `${name}.gz`)]) {
    const entry = namedEntry(file);
    if (entry.kind !== 'file') continue;
    if (entry.size > MAX_BYTES)
      throw new WeightsError('bad-vocabulary', `${file}: ${entry.size} bytes are too many for a vocabulary.`);
    const bytes = readBytes(file);
    if (!file.endsWith('.gz')) return bytes;
    try {
      return zlib.gunzipSync(bytes, {maxOutputLength: MAX_BYTES});
    } catch (cause) {
      throw new WeightsError('bad-vocabulary', `${file}: cannot be unpacked.`, {cause});
    }
  }
  return null;
}

/** @throws WeightsError `bad-vocabulary` */
function readBytes(file: string): Buffer {
  try {
    return readRegularFile(file);
  } catch (cause) {
    throw new WeightsError('bad-vocabulary', `${file}: ${whyUnreadable(cause)}.`, {cause});
  }
}

/**
 * Finds the vocabulary of a checkpoint, which does not hold one: the one that the caller names, else the one in the
 * folder that the checkpoint's settings name (looked for beside the file only: the settings are not trusted with other
 * paths), else the one beside the file, else OFA's own.
 * @param vocab  a folder, or a dict.txt
 * @param folder the folder of the checkpoint's file
 * @param bpeDir the folder that the settings name
 * @throws WeightsError if the one that the caller named is not there
 */
export function findVocabulary(vocab: string | undefined, folder: string, bpeDir: string | undefined): VocabularyFiles {
  const candidates =
    vocab === undefined
      ? [...(bpeDir === undefined ? [] : [path.join(folder, path.basename(bpeDir))]), folder]
      : [vocab];
  for (const candidate of candidates) {
    const isFile = namedEntry(candidate).kind === 'file';
    const home = isFile ? path.dirname(candidate) : candidate;
    const dict = readMaybe(home, isFile ? path.basename(candidate).replace(/\.gz$/, '') : 'dict.txt');
    if (!dict) continue;
    const own = {encoder: readMaybe(home, 'encoder.json'), merges: readMaybe(home, 'vocab.bpe')};
    return own.encoder && own.merges
      ? {dict, encoder: own.encoder, merges: own.merges, origin: candidate, bpeOrigin: home}
      : {dict, ...builtInBpe(), origin: candidate, bpeOrigin: 'built-in'};
  }
  if (vocab !== undefined)
    throw new WeightsError(
      'no-vocabulary',
      `${vocab}: no dictionary: a dict.txt, or a folder with one in it, is wanted.`,
    );
  return {dict: readMaybe(BUILT_IN, 'dict.txt')!, ...builtInBpe(), origin: 'built-in', bpeOrigin: 'built-in'};
}

/** CLIP's list of merges, unpacked: the one in a folder, else the built-in one. */
export function findClipMerges(folder?: string): Buffer {
  return (
    (folder === undefined ? null : readMaybe(folder, CLIP_MERGES)) ??
    readMaybe(path.join(BUILT_IN, 'clip'), CLIP_MERGES)!
  );
}

/** The built-in list of merges, packed as OpenAI published it. */
function builtInClipFile(): Buffer {
  return fs.readFileSync(path.join(BUILT_IN, 'clip', `${CLIP_MERGES}.gz`));
}

function builtInBpe(): {encoder: Buffer; merges: Buffer} {
  return {encoder: readMaybe(BUILT_IN, 'encoder.json')!, merges: readMaybe(BUILT_IN, 'vocab.bpe')!};
}

/**
 * The text of a file of a vocabulary.
 * @param what   what messages call it
 * @throws       WeightsError `bad-vocabulary` if it is no UTF-8
 */
export function vocabularyText(bytes: Buffer, what: string): string {
  try {
    return decodeText(bytes);
  } catch (cause) {
    throw new WeightsError('bad-vocabulary', `The ${what}: ${(cause as Error).message}.`, {cause});
  }
}

/**
 * The tokenizer that a vocabulary's files make.
 * @throws WeightsError if they are damaged
 */
export function vocabularyTokenizer(
  {dict, encoder, merges}: VocabularyFiles,
  {code_dict_size, num_bins}: {readonly code_dict_size: number; readonly num_bins: number},
): Tokenizer {
  return new Tokenizer({
    dict: vocabularyText(dict, 'dictionary'),
    encoder: vocabularyText(encoder, 'byte pair encoder'),
    merges: vocabularyText(merges, 'list of merges'),
    codeDictSize: code_dict_size,
    numBins: num_bins,
  });
}

/**
 * Checks that the vocabulary has exactly as many ids as the embedding has rows.
 * @returns the number of lines of the dictionary
 * @throws WeightsError that names both numbers
 */
function checkVocabulary(
  files: VocabularyFiles,
  config: {vocab_size: number; code_dict_size: number; num_bins: number},
): number {
  const {code_dict_size: codes, num_bins: bins} = config;
  // The counts come from a file. A million symbols are more than any model has, and few enough to make.
  if (codes + bins > 1_000_000)
    throw new WeightsError('bad-config', `The configuration asks for ${codes} code symbols and ${bins} bins.`);
  const tokenizer = vocabularyTokenizer(files, config);
  const lines = vocabularyText(files.dict, 'dictionary').trimEnd().split('\n').length;
  if (tokenizer.size === config.vocab_size) return lines;
  throw new WeightsError(
    'wrong-vocabulary',
    `The vocabulary (${files.origin}) has ${tokenizer.size} ids: ${lines} lines of its dictionary, 4 special ones, <mask>, ${codes} codes and ${bins} bins; ` +
      `the embedding has ${config.vocab_size} rows.`,
    {
      hint: 'Name the dictionary that the model was trained with: --vocab DIR or --vocab dict.txt; the counts are code_dict_size and num_bins of its settings.',
    },
  );
}

/** The files as a converted model stores them. Packing is deterministic; the built-in files are copied as they are. */
function storedVocabulary(files: VocabularyFiles): ReadonlyMap<string, Buffer> {
  const packed = (name: string, bytes: Buffer): Buffer =>
    files.bpeOrigin === 'built-in' || readMaybe(BUILT_IN, name)?.equals(bytes)
      ? fs.readFileSync(path.join(BUILT_IN, `${name}.gz`))
      : zlib.gzipSync(bytes, {level: 9});
  return new Map([
    ['dict.txt', files.dict],
    ['encoder.json.gz', packed('encoder.json', files.encoder)],
    ['vocab.bpe.gz', packed('vocab.bpe', files.merges)],
  ]);
}

/** The vocabulary that a model folder gets. */
export interface ModelVocabulary {
  /** The folder or file of the words, or 'built-in'; for reports. */
  readonly origin: string;
  /** The folder of the byte pairs, or 'built-in'; for reports. */
  readonly bpeOrigin: string;
  /** The number of lines of the file that names the words. */
  readonly lines: number;
  /** The number of token ids, and of the embedding's rows. */
  readonly ids: number;
  /** File name → bytes, as a converted model stores them. */
  readonly files: ReadonlyMap<string, Buffer>;
}

/**
 * The vocabulary for a model of any family.
 * @param vocab  a folder or a file that the caller names
 * @param folder the folder of the weights
 * @param bpeDir the folder beside the weights that the checkpoint's settings name
 * @throws WeightsError if the one that the caller named is not there, or does not fit the model
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
  const isFile = vocab !== undefined && namedEntry(vocab).kind === 'file';
  const home = isFile ? path.dirname(vocab) : (vocab ?? folder);
  const own = fs.existsSync(path.join(home, `${CLIP_MERGES}.gz`)) || fs.existsSync(path.join(home, CLIP_MERGES));
  if (vocab !== undefined && !own)
    throw new WeightsError(
      'no-vocabulary',
      `${vocab}: no list of merges: ${CLIP_MERGES}, or a folder with it, is wanted.`,
    );
  const text = findClipMerges(home);
  const origin = own ? home : 'built-in';
  // Packing is deterministic, but not the packing of the built-in file, which is stored as it is.
  const builtIn = findClipMerges();
  const packed = text.equals(builtIn) ? builtInClipFile() : zlib.gzipSync(text, {level: 9});
  const lines = vocabularyText(text, 'list of merges').trimEnd().split('\n').length;
  return {origin, bpeOrigin: origin, lines, ids, files: new Map([[`${CLIP_MERGES}.gz`, packed]])};
}
