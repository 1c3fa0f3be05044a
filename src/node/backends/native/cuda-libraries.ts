import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** What TensorFlow 2.21 opens by name once it sees a GPU (requirements-gpu.txt brings them). */
const NAMES = [
  'libcudart.so.12',
  'libcublas.so.12',
  'libcublasLt.so.12',
  'libcufft.so.11',
  'libcusolver.so.11',
  'libcusparse.so.12',
  'libcudnn.so.9',
] as const;

/**
 * NVIDIA's libraries that cannot be found beside a GPU build, on LD_LIBRARY_PATH or by the system's linker. Looked for beforehand:
 * TensorFlow does not report a missing one, it ends the process.
 * @param folder of the build; its libraries are in nvidia/<package>/lib
 */
export function missingCudaLibraries(
  folder: string,
  search: string = process.env['LD_LIBRARY_PATH'] ?? '',
): readonly string[] {
  const own = path.join(folder, 'nvidia');
  const packages = fs.existsSync(own) ? fs.readdirSync(own).map((name) => path.join(own, name, 'lib')) : [];
  const folders = [...packages, ...search.split(':').filter((entry) => entry !== '')];
  const absent = NAMES.filter((name) => !folders.some((entry) => fs.existsSync(path.join(entry, name))));
  if (absent.length === 0) return absent;
  const known = spawnSync('ldconfig', ['-p'], {encoding: 'utf8'}).stdout ?? '';
  return absent.filter((name) => !known.includes(`\t${name} `));
}
