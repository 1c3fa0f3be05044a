import {InputError, UsageError} from '../runtime/errors.js';
import {badRow, type DatasetItem, type OnBadRow, reportBadRow} from './dataset.js';
import {jsonArrayItems} from './json-array.js';
import type {ByteChunks} from './lines.js';

/** The options of `readKarpathy`. */
export interface KarpathyOptions {
  /** Turns a picture's name in the data into a path, as in `JsonlOptions`. */
  readonly imagePath: (name: string) => string;
  /** The only split whose pictures are read: train, restval, val, test. Default: all. */
  readonly split?: string;
  readonly onBadRow?: OnBadRow;
}

/**
 * COCO captions in Karpathy's splits (dataset_coco.json): `{"images": [{"filepath", "filename", "split", "cocoid",
 * "sentences": [{"raw"}]}]}`. They are read picture by picture: the file of 144 MB is never in memory. `line` is the
 * number of the picture, from 1.
 * @throws InputError `bad-json` if the file is no such JSON; `bad-row` where no `onBadRow` listens
 * @throws UsageError `unknown-split` at the end, if no picture was in the split
 */
export async function* readKarpathy(chunks: ByteChunks, options: KarpathyOptions): AsyncGenerator<DatasetItem> {
  const {split} = options;
  let line = 0;
  const splits = new Set<string>();
  for await (const entry of jsonArrayItems(chunks, 'images')) {
    line++;
    if (split !== undefined && splits.size < MOST_SPLITS) splits.add(splitOf(entry));
    let item: DatasetItem | undefined;
    try {
      item = readEntry(entry, line, options);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      reportBadRow(options.onBadRow, line, error.code === 'bad-row' ? error : badRow(line, error.message, error));
      continue;
    }
    if (item !== undefined) yield item;
  }
  if (split === undefined || line === 0 || splits.has(split) || splits.size === MOST_SPLITS) return;
  throw new UsageError('unknown-split', `there is no split ${JSON.stringify(split)} in the file`, {
    hint: `There are: ${[...splits].filter((name) => name !== '').join(', ') || 'none'}.`,
  });
}

/** Karpathy has four: more are no splits. */
const MOST_SPLITS = 100;

function splitOf(entry: unknown): string {
  const {split} = (entry ?? {}) as {readonly split?: unknown};
  return typeof split === 'string' ? split : '';
}

function readEntry(entry: unknown, line: number, {imagePath, split}: KarpathyOptions): DatasetItem | undefined {
  if (typeof entry !== 'object' || entry === null) throw badRow(line, 'wanted a JSON object');
  const {split: of, filename, filepath, sentences, cocoid, imgid} = entry as Partial<Record<string, unknown>>;
  if (split !== undefined && of !== split) return undefined;
  if (typeof filename !== 'string' || filename === '') throw badRow(line, 'filename is missing');
  if (!Array.isArray(sentences)) throw badRow(line, 'sentences are missing');
  const references = sentences.map((sentence: {raw?: unknown} | null) => sentence?.raw);
  if (references.some((reference) => typeof reference !== 'string')) throw badRow(line, 'a sentence has no "raw"');
  const id = String(cocoid ?? imgid ?? filename);
  return {
    id,
    imageId: id,
    image: {path: imagePath(typeof filepath === 'string' && filepath !== '' ? `${filepath}/${filename}` : filename)},
    references: references as string[],
    line,
  };
}
