import {createHash} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {InputError} from '../../runtime/errors.js';
import {hashFile} from '../model/model-folder.js';
import {readChunks} from './open.js';

/** Which data set it was, wherever it lies. */
export interface DataFingerprint {
  readonly name: string;
  readonly bytes: number;
  /** Of the file; of names and sizes for a folder of pictures. */
  readonly sha256: string;
  /** The file is large: only its beginning and its end were hashed. */
  readonly sampled?: boolean | undefined;
}

const LARGE = 2 ** 30;
const SAMPLE = 2 ** 24;

/** @throws InputError `dataset-not-found`; AbortError */
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

/** About how many rows a file of lines has, for progress; undefined where counting would take long or rows are no lines. */
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
