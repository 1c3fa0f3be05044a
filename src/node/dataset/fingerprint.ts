import {createHash} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {z} from 'zod';
import {InputError, MueError} from '../../runtime/errors.js';
import {namedEntry, openRegularFile} from '../files/regular-file.js';
import {hashFile} from '../model/model-folder.js';
import {folderEntries, readChunks, unreadable} from './open.js';

export const dataFingerprintSchema = z.strictObject({
  /** The name of the file or folder, without its path. */
  name: z.string(),
  bytes: z.number(),
  /** The hash of the file; for a folder of pictures, of their names and sizes. */
  sha256: z.string(),
  /** True for a large file, of which only the beginning and the end were hashed. */
  sampled: z.boolean().optional(),
});
/** The identity of a data set, wherever it lies. */
export type DataFingerprint = Readonly<z.infer<typeof dataFingerprintSchema>>;

const LARGE = 2 ** 30;
const SAMPLE = 2 ** 24;

/**
 * The identity of a file or folder.
 * @throws InputError `dataset-not-found`, `dataset-unreadable`
 * @throws AbortError
 */
export async function dataFingerprint(file: string, signal?: AbortSignal): Promise<DataFingerprint> {
  const entry = namedEntry(file);
  if (entry.kind === 'neither') throw new InputError('dataset-not-found', `${file}: ${entry.why}`);
  const name = path.basename(path.resolve(file));
  if (entry.kind === 'folder') {
    const names = folderEntries(file).filter((inside) => !inside.isDirectory());
    const list = names.map((inside) => `${inside.name}\t${sizeOf(path.join(file, inside.name))}\n`).sort();
    return {name, bytes: 0, sha256: createHash('sha256').update(list.join('')).digest('hex')};
  }
  const {size} = entry;
  try {
    if (size <= LARGE) return {name, bytes: size, sha256: (await hashFile(file, signal)).sha256};
    return {name, bytes: size, sha256: hashEnds(file), sampled: true};
  } catch (error) {
    throw error instanceof MueError ? error : unreadable(file, error);
  }
}

/** The size of a file in a folder of pictures; 0 for what is none, which is no picture either. */
function sizeOf(file: string): number {
  const entry = namedEntry(file);
  return entry.kind === 'file' ? entry.size : 0;
}

/** The hash of the beginning and the end of a large file. */
function hashEnds(file: string): string {
  const {fd, size} = openRegularFile(file);
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.alloc(SAMPLE);
    for (const at of [0, size - SAMPLE]) hash.update(buffer.subarray(0, fs.readSync(fd, buffer, 0, SAMPLE, at)));
    return hash.digest('hex');
  } finally {
    fs.closeSync(fd);
  }
}

/** The number of lines of a data set, for progress; undefined where counting would take long or rows are not lines. */
export async function countRows(file: string): Promise<number | undefined> {
  const entry = namedEntry(file);
  if (entry.kind !== 'file' || entry.size > LARGE || !/\.(tsv|jsonl|ndjson)(\.gz)?$/i.test(file)) return undefined;
  let lines = 0;
  let last = 10;
  for await (const chunk of readChunks(file)) {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
    last = chunk.at(-1) ?? last;
  }
  return last === 10 ? lines : lines + 1;
}
