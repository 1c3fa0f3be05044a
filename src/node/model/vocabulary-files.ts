import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import zlib from 'node:zlib';
import {Tokenizer} from '../../data/tokenizer.js';
import {WeightsError} from '../../runtime/errors.js';

/** The three files of a vocabulary, unpacked, and where they are from. */
export interface VocabularyFiles {
  readonly dict: Buffer;
  readonly encoder: Buffer;
  readonly merges: Buffer;
  /** For reports: a folder or file, or 'built-in'. */
  readonly origin: string;
  /** For reports: where the BPE files are from. */
  readonly bpeOrigin: string;
}

const BUILT_IN = fileURLToPath(new URL('../../../vocabulary/', import.meta.url));
export const CLIP_MERGES = 'bpe_simple_vocab_16e6.txt';
const MAX_BYTES = 64 * 2 ** 20;

/** A file or its `.gz`, unpacked; null if there is neither. */
function readMaybe(folder: string, name: string): Buffer | null {
  for (const file of [path.join(folder, name), path.join(folder, `${name}.gz`)]) {
    const stat = fs.statSync(file, {throwIfNoEntry: false});
    if (!stat?.isFile()) continue;
    if (stat.size > MAX_BYTES)
      throw new WeightsError('bad-vocabulary', `${file}: ${stat.size} bytes are too many for a vocabulary.`);
    const bytes = fs.readFileSync(file);
    if (!file.endsWith('.gz')) return bytes;
    try {
      return zlib.gunzipSync(bytes, {maxOutputLength: MAX_BYTES});
    } catch (cause) {
      throw new WeightsError('bad-vocabulary', `${file}: cannot be unpacked.`, {cause});
    }
  }
  return null;
}

/**
 * The vocabulary of a checkpoint, which does not hold one: what the caller names, else what lies in the folder that its settings name
 * (looked for beside the file only: the settings are not trusted with other paths), else what lies beside the file, else OFA's own.
 * @param vocab a folder, or a dict.txt.
 * @throws WeightsError if what the caller named is not there.
 */
export function findVocabulary(vocab: string | undefined, folder: string, bpeDir: string | undefined): VocabularyFiles {
  const candidates =
    vocab === undefined
      ? [...(bpeDir === undefined ? [] : [path.join(folder, path.basename(bpeDir))]), folder]
      : [vocab];
  for (const candidate of candidates) {
    const isFile = fs.statSync(candidate, {throwIfNoEntry: false})?.isFile() ?? false;
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

/** CLIP's merges, unpacked: those that lie in a folder, else the built-in ones. */
export function findClipMerges(folder?: string): Buffer {
  return (
    (folder === undefined ? null : readMaybe(folder, CLIP_MERGES)) ??
    readMaybe(path.join(BUILT_IN, 'clip'), CLIP_MERGES)!
  );
}

/** The built-in list of merges, packed as it came. */
export function builtInClipFile(): Buffer {
  return fs.readFileSync(path.join(BUILT_IN, 'clip', `${CLIP_MERGES}.gz`));
}

function builtInBpe(): {encoder: Buffer; merges: Buffer} {
  return {encoder: readMaybe(BUILT_IN, 'encoder.json')!, merges: readMaybe(BUILT_IN, 'vocab.bpe')!};
}

/** What a vocabulary's files come to. @throws WeightsError if they are damaged */
export function vocabularyTokenizer(
  {dict, encoder, merges}: VocabularyFiles,
  {code_dict_size, num_bins}: {readonly code_dict_size: number; readonly num_bins: number},
): Tokenizer {
  const text = (bytes: Buffer): string => bytes.toString('utf8');
  return new Tokenizer({
    dict: text(dict),
    encoder: text(encoder),
    merges: text(merges),
    codeDictSize: code_dict_size,
    numBins: num_bins,
  });
}

/** @throws WeightsError unless the vocabulary has exactly as many ids as the embedding has rows; both numbers are named. */
export function checkVocabulary(
  files: VocabularyFiles,
  config: {vocab_size: number; code_dict_size: number; num_bins: number},
): number {
  const text = (bytes: Buffer): string => bytes.toString('utf8');
  const {code_dict_size: codes, num_bins: bins} = config;
  // Counts from a file: a million symbols are more than any model has, and few enough to make.
  if (codes + bins > 1_000_000)
    throw new WeightsError('bad-config', `The configuration asks for ${codes} code symbols and ${bins} bins.`);
  const tokenizer = vocabularyTokenizer(files, config);
  const lines = text(files.dict).trimEnd().split('\n').length;
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

/** As a converted model stores them. Packing is deterministic; the built-in files are copied as they are. */
export function storedVocabulary(files: VocabularyFiles): ReadonlyMap<string, Buffer> {
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
