import {createHash} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {z} from 'zod';
import {InputError} from '../../runtime/errors.js';
import {hashFile} from '../model/model-folder.js';
import {readChunks} from './open.js';

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
 * @throws InputError `dataset-not-found`
 * @throws AbortError
 */
export async function dataFingerprint(file: string, signal?: AbortSignal): Promise<DataFingerprint> {
  const stat = fs.statSync(file, {throwIfNoEntry: false});
  if (stat === undefined) throw new InputError('dataset-not-found', `${file}: there is no such file or folder`);
  const name = path.basename(path.resolve(file));
  if (stat.isDirectory()) {
    const entries = fs.readdirSync(file, {withFileTypes: true}).filter((entry) => !entry.isDirectory());
    const list = entries.map((entry) => `${entry.name}\t${fs.statSync(path.join(file, entry.name)).size}\n`).sort();
    return {name, bytes: 0, sha256: createHash('sha256').update(list.join('')).digest('hex')};
  }
  if (stat.size <= LARGE) return {name, bytes: stat.size, sha256: (await hashFile(file, signal)).sha256};
  const fd = fs.openSync(file, 'r');
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.alloc(SAMPLE);
    for (const at of [0, stat.size - SAMPLE]) hash.update(buffer.subarray(0, fs.readSync(fd, buffer, 0, SAMPLE, at)));
    return {name, bytes: stat.size, sha256: hash.digest('hex'), sampled: true};
  } finally {
    fs.closeSync(fd);
  }
}

/** The number of lines of a data set, for progress; undefined where counting would take long or rows are not lines. */
export async function countRows(file: string): Promise<number | undefined> {
  const stat = fs.statSync(file);
  if (!stat.isFile() || stat.size > LARGE || !/\.(tsv|jsonl|ndjson)(\.gz)?$/i.test(file)) return undefined;
  let lines = 0;
  let last = 10;
  for await (const chunk of readChunks(file)) {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
    last = chunk.at(-1) ?? last;
  }
  return last === 10 ? lines : lines + 1;
}
