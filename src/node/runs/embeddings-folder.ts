import path from 'node:path';
import {inShard, type Shard} from '../../evaluation/shard.js';
import type {Dataset, DatasetItem} from '../../data/dataset.js';
import {readLines} from '../../data/lines.js';
import type {Points} from '../../metrics/retrieval.js';
import {InputError, throwIfAborted} from '../../runtime/errors.js';
import {makeFolder} from './evaluation-folder.js';
import {readChunks} from '../dataset/open.js';
import {namedEntry} from '../files/regular-file.js';
import {RowLog} from './row-log.js';
import {writeAtomic} from './write-atomic.js';
import {parseJson} from '../../runtime/parse-json.js';

export const EMBEDDINGS = 'embeddings.jsonl';
/** The rows as they come, before all are there. */
export const ROWS = 'rows.jsonl';

export interface EmbedIntoOptions {
  /** The settings that the rows depend on: model, data, exits, shard; plain JSON. */
  readonly header: Readonly<Record<string, unknown>>;
  readonly dataset: Dataset;
  readonly shard: Shard;
  readonly limit?: number;
  /**
   * Embeds one picture.
   * @throws InputError for a picture that cannot be embedded, which is then passed over
   */
  readonly embed: (item: DatasetItem) => Promise<Float32Array>;
  readonly onFailed: (item: DatasetItem, error: InputError) => void;
  readonly onRow?: (done: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Embeds the pictures of a data set into a folder, each once, going on where an earlier run stopped: `rows.jsonl` grows
 * row by row (base64 of float32); when all are there, `embeddings.jsonl` and `embeddings.npy` are written, rows in the
 * order of the data.
 * @returns the number of pictures embedded, now and before, and of those that failed
 * @throws UsageError `resume-mismatch` if the folder holds another run
 * @throws InputError `folder-in-use` if another process writes there
 */
export async function embedInto(folder: string, options: EmbedIntoOptions): Promise<{done: number; failed: number}> {
  const {header, dataset, shard, limit, embed, onFailed, onRow, signal} = options;
  makeFolder(folder);
  using log = RowLog.open(path.join(folder, ROWS), header);
  const rows = new Map(log.rows.map((row) => [row['index'] as number, row]));
  const seen = new Set<string>();
  let failed = 0;
  for await (const item of dataset) {
    throwIfAborted(signal);
    if (seen.has(item.imageId)) continue;
    const index = seen.size;
    if (limit !== undefined && index >= limit) break;
    seen.add(item.imageId);
    if (rows.has(index) || !inShard(index, shard)) continue;
    let vector: Float32Array;
    try {
      vector = await embed(item);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      failed++;
      onFailed(item, error);
      continue;
    }
    const row = {
      index,
      image: item.imageId,
      embedding: Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64'),
    };
    log.append(row);
    rows.set(index, row);
    onRow?.(rows.size);
  }
  const sorted = [...rows.values()].sort((a, b) => (a['index'] as number) - (b['index'] as number));
  const vector = (row: Readonly<Record<string, unknown>>): Float32Array => {
    const bytes = Uint8Array.from(Buffer.from(String(row['embedding']), 'base64'));
    return new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / 4));
  };
  const size = sorted[0] ? vector(sorted[0]).length : 0;
  writeAtomic(
    path.join(folder, EMBEDDINGS),
    lines(sorted.map((row) => ({image: String(row['image']), vector: () => vector(row)}))),
  );
  writeNpy(
    path.join(folder, 'embeddings.npy'),
    (function* () {
      for (const row of sorted) yield vector(row);
    })(),
    [sorted.length, size],
  );
  return {done: rows.size, failed};
}

function* lines(rows: readonly {readonly image: string; readonly vector: () => Float32Array}[]): Generator<string> {
  for (const {image, vector} of rows) yield `${JSON.stringify({image, embedding: Array.from(vector())})}\n`;
}

/**
 * Writes a float32 matrix as NumPy reads it; the file appears whole or not at all.
 * @throws InputError `cannot-write`
 */
function writeNpy(file: string, rows: Iterable<Float32Array>, shape: readonly [number, number]): void {
  writeAtomic(file, npyPieces(rows, shape));
}

function* npyPieces(rows: Iterable<Float32Array>, shape: readonly [number, number]): Generator<Uint8Array> {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape[0]}, ${shape[1]}), }`;
  // The numbers begin at a multiple of 64 bytes.
  const padded = `${header.padEnd(Math.ceil((11 + header.length) / 64) * 64 - 11)}\n`;
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, padded.length & 255, padded.length >> 8]);
  yield Buffer.concat([start, Buffer.from(padded, 'latin1')]);
  for (const row of rows) yield new Uint8Array(row.buffer, row.byteOffset, row.byteLength);
}

/** Embeddings that `mue embed` wrote, as one array, and the image ids in the same order. */
export interface EmbeddedPictures extends Points {
  readonly images: readonly string[];
}

/**
 * Reads embeddings of pictures.
 * @param files files of JSON lines, or folders that `mue embed` wrote; shards are named one by one
 * @throws InputError `embeddings-unreadable`, `embeddings-corrupt`
 */
export async function readEmbeddings(files: readonly string[]): Promise<EmbeddedPictures> {
  const images: string[] = [];
  const vectors: Float32Array[] = [];
  for (const name of files) {
    const file = namedEntry(name).kind === 'folder' ? path.join(name, EMBEDDINGS) : name;
    const entry = namedEntry(file);
    if (entry.kind !== 'file')
      throw new InputError('embeddings-unreadable', `${file}: ${entry.kind === 'folder' ? 'a folder' : entry.why}`, {
        hint: '`mue embed --out` writes one.',
      });
    for await (const {text, line} of readLines(readChunks(file))) {
      const {image, embedding} = parseRow(text, `${file}: line ${line}`);
      if (vectors[0] && embedding.length !== vectors[0].length)
        throw corrupt(`${file}: line ${line}`, `has ${embedding.length} numbers, those before ${vectors[0].length}`);
      images.push(image);
      vectors.push(embedding);
    }
  }
  const size = vectors[0]?.length;
  if (size === undefined) throw corrupt(files.join(', '), 'holds no embedding');
  const values = new Float32Array(size * vectors.length);
  for (const [i, vector] of vectors.entries()) values.set(vector, i * size);
  return {size, count: vectors.length, values, images};
}

function parseRow(text: string, where: string): {image: string; embedding: Float32Array} {
  let row: {image?: unknown; embedding?: unknown} | null;
  try {
    row = parseJson(text) as typeof row;
  } catch (cause) {
    throw corrupt(where, `is no JSON: ${(cause as Error).message}`);
  }
  const numbers = row?.embedding;
  if (
    typeof row?.image !== 'string' ||
    !Array.isArray(numbers) ||
    numbers.length === 0 ||
    !numbers.every(Number.isFinite)
  )
    throw corrupt(where, 'wanted {"image", "embedding": [numbers]}');
  return {image: row.image, embedding: Float32Array.from(numbers as number[])};
}

function corrupt(where: string, what: string): InputError {
  return new InputError('embeddings-corrupt', `${where}: ${what}`);
}
