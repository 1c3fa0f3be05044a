import fs from 'node:fs';
import path from 'node:path';
import {z} from 'zod';
import {checkArguments, PATH} from '../../runtime/check-arguments.js';
import {throwIfAborted, WeightsError} from '../../runtime/errors.js';
import {readTextFile} from '../files/regular-file.js';
import {hashFile} from './model-folder.js';
import {parseJson} from '../../runtime/parse-json.js';

/** The file of a model folder that lists its others. */
const MANIFEST = 'manifest.json';

/** What is read of a manifest: `mue convert` writes more. */
const manifestSchema = z.object({
  files: z.array(z.object({name: z.string(), sha256: z.string()})).optional(),
});

/** A JSON file of a model folder; undefined where there is none. @throws WeightsError `config-invalid` */
export function readFolderJson(folder: string, name: string): unknown {
  const file = path.join(folder, name);
  let text: string;
  try {
    text = readTextFile(file);
  } catch {
    return undefined;
  }
  try {
    return parseJson(text);
  } catch (cause) {
    throw new WeightsError('config-invalid', `${file} is no JSON: ${(cause as Error).message}`, {cause});
  }
}

/** The files that the manifest lists; none where there is no manifest. */
function listedFiles(folder: string): readonly {readonly name: string; readonly sha256: string}[] {
  const json = readFolderJson(folder, MANIFEST);
  if (json === undefined) return [];
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data.files ?? [];
  const {path: where, message} = parsed.error.issues[0]!;
  throw new WeightsError('config-invalid', `${path.join(folder, MANIFEST)}: ${where.join('.')}: ${message}`);
}

/** The SHA-256 of the file of weights; of several files, their hashes joined by '+'. */
export function weightsHash(folder: string): string | undefined {
  checkArguments('weightsHash', {folder: [folder, PATH]});
  const hashes = listedFiles(folder).filter(({name}) => name.endsWith('.safetensors'));
  return hashes.length > 0 ? hashes.map(({sha256}) => sha256).join('+') : undefined;
}

/**
 * Compares every file of a model folder that its manifest lists with the SHA-256 there. A file that is missing is for
 * its reader to tell; a folder without a manifest has nothing to compare.
 * @throws WeightsError `file-changed`, which names the file; AbortError
 */
export async function verifyFolder(folder: string, signal?: AbortSignal): Promise<void> {
  for (const {name, sha256} of listedFiles(folder)) {
    // A manifest speaks of the files beside it only, and no file has a zero in its name.
    if (path.basename(name) !== name || name.includes('\0')) continue;
    const file = path.join(folder, name);
    if (!fs.statSync(file, {throwIfNoEntry: false})?.isFile()) continue;
    await verifyFile(file, sha256, {signal});
  }
}

/** The hashes of files that were compared in this process, by what tells that a file was written to since. */
const verified = new Map<string, string>();
/** Milliseconds after a change in which another one may not show in a file's time. */
const UNSETTLED = 2000;

/**
 * Reads a file once and compares its SHA-256, from byte `start` on. A file that was compared before is not read again
 * while it is the same file of the same size and times.
 * @throws WeightsError `file-changed`; AbortError
 */
export async function verifyFile(
  file: string,
  sha256: string,
  {start = 0, signal}: {readonly start?: number; readonly signal?: AbortSignal} = {},
): Promise<void> {
  throwIfAborted(signal);
  const {dev, ino, size, mtimeNs, ctimeNs, mtimeMs, ctimeMs} = fs.statSync(file, {bigint: true});
  const key = [dev, ino, size, mtimeNs, ctimeNs, start].join();
  const settled = Date.now() - Math.max(Number(mtimeMs), Number(ctimeMs)) > UNSETTLED;
  const found = verified.get(key) ?? (await hashFile(file, signal, start)).sha256;
  if (found !== sha256)
    throw new WeightsError(
      'file-changed',
      `${file}: its SHA-256 is ${found.slice(0, 12)}…, but ${sha256.slice(0, 12)}… was written: the file is damaged or was changed`,
      {hint: 'Copy or convert the model again. What was changed on purpose loads with --no-verify (`verify: false`).'},
    );
  if (settled) verified.set(key, found);
}
