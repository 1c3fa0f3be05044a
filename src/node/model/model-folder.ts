import {createHash, randomBytes} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {AbortError, throwIfAborted, UsageError} from '../../runtime/errors.js';
import {namedEntry, streamRegularFile} from '../files/regular-file.js';
import {cannotWrite} from '../runs/write-atomic.js';
import {WriterLock} from '../runs/writer-lock.js';

/** A file as the manifest of a model folder lists it. */
export interface FileRecord {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Writes a folder that appears whole or not at all: files go into a hidden sibling, which takes the folder's name in
 * the end. An error before that removes the sibling and leaves the folder as it was. What a killed process left is put
 * right by the next one: a model that was moved aside and not replaced comes back.
 * @param options `force` replaces a model in the folder; `keep` names its files that the new folder gets, too
 * @param fill    writes the files
 * @returns the value of `fill`
 * @throws UsageError if something else is there; InputError `folder-in-use`, `cannot-write`; the errors of `fill`
 */
export async function writeFolder<T>(
  target: string,
  options: {readonly force?: boolean; readonly keep?: readonly string[]},
  fill: (folder: FolderWriter) => Promise<T>,
): Promise<T> {
  const output = path.resolve(target);
  const part = `${besides(output)}partial-${randomBytes(4).toString('hex')}`;
  try {
    fs.mkdirSync(path.dirname(output), {recursive: true});
    // Of a name beside the folder: the folder itself is moved.
    using _ = WriterLock.take(`${output}.partial`);
    healFolder(output);
    checkTarget(output, options.force ?? false);
    fs.mkdirSync(part);
    const result = await fill(new FolderWriter(part));
    for (const name of options.keep ?? [])
      if (fs.existsSync(path.join(output, name)) && !fs.existsSync(path.join(part, name)))
        fs.copyFileSync(path.join(output, name), path.join(part, name));
    replace(output, part);
    return result;
  } catch (error) {
    fs.rmSync(part, {recursive: true, force: true});
    throw cannotWrite(target, error);
  }
}

/** @throws UsageError if writing there would lose anything */
export function checkTarget(output: string, force: boolean): void {
  const {kind} = namedEntry(output);
  if (kind === 'neither' && !fs.existsSync(output)) return;
  if (kind !== 'folder') throw new UsageError('output-exists', `${output}: a file is there already.`);
  const names = namesIn(output);
  if (names.length === 0) return;
  if (!force)
    throw new UsageError('output-exists', `${output}: the folder is not empty.`, {
      hint: 'Name another folder, or add --force to replace the model in it.',
    });
  if (!names.includes('manifest.json'))
    throw new UsageError(
      'output-exists',
      `${output}: only a folder with a model in it is replaced; this one has no manifest.json.`,
    );
}

/** @throws InputError `cannot-write` for a folder that cannot be looked into */
function namesIn(output: string): string[] {
  try {
    return fs.readdirSync(output);
  } catch (error) {
    throw cannotWrite(output, error);
  }
}

/** The beginning of the names of hidden folders beside one, in which it is made or kept while it is replaced. */
function besides(output: string): string {
  return path.join(path.dirname(output), `.${path.basename(output)}.`);
}

/** The folder's old content, from the first step of a replacement to the last. */
function replaced(output: string): string {
  return `${besides(output)}replaced`;
}

/** Ends what a killed process began; only for who holds the folder's lock. */
function healFolder(output: string): void {
  const old = replaced(output);
  if (fs.existsSync(old)) {
    if (fs.existsSync(output)) fs.rmSync(old, {recursive: true});
    else fs.renameSync(old, output);
  }
  const begun = path.basename(`${besides(output)}partial-`);
  for (const name of fs.readdirSync(path.dirname(output)))
    if (name.startsWith(begun)) fs.rmSync(path.join(path.dirname(output), name), {recursive: true, force: true});
}

function replace(output: string, part: string): void {
  const old = replaced(output);
  const exists = fs.existsSync(output);
  if (exists) fs.renameSync(output, old);
  try {
    fs.renameSync(part, output);
  } catch (error) {
    if (exists) fs.renameSync(old, output);
    throw error;
  }
  fs.rmSync(old, {recursive: true, force: true});
}

/** Writes the files of a folder in the making, and hashes each. */
export class FolderWriter {
  readonly files: FileRecord[] = [];

  /** @param folder where files stand until all are written */
  constructor(readonly folder: string) {}

  /** Writes a small file at once. */
  add(name: string, content: string | Uint8Array): void {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    fs.writeFileSync(path.join(this.folder, name), bytes);
    this.files.push({name, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex')});
  }

  /** Writes a large file piece by piece. */
  async stream(name: string, write: (sink: (piece: Uint8Array) => Promise<void>) => Promise<void>): Promise<void> {
    const hash = createHash('sha256');
    let bytes = 0;
    const file = await fs.promises.open(path.join(this.folder, name), 'wx');
    try {
      await write(async (piece) => {
        hash.update(piece);
        for (let done = 0; done < piece.length; )
          done += (await file.write(piece, done, Math.min(piece.length - done, 2 ** 30))).bytesWritten;
        bytes += piece.length;
      });
    } finally {
      await file.close();
    }
    this.files.push({name, bytes, sha256: hash.digest('hex')});
  }
}

/**
 * The name, size and SHA-256 of a file of any length, from byte `start` on.
 * @throws AbortError
 */
export async function hashFile(file: string, signal?: AbortSignal, start = 0): Promise<FileRecord> {
  throwIfAborted(signal);
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const piece of streamRegularFile(file, {highWaterMark: 2 ** 20, signal, start})) {
      hash.update(piece as Buffer);
      bytes += (piece as Buffer).length;
    }
  } catch (error) {
    throw signal?.aborted ? new AbortError() : error;
  }
  return {name: path.basename(file), bytes, sha256: hash.digest('hex')};
}
