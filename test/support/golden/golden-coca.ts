import fs from 'node:fs';
import path from 'node:path';
import {type GoldenArray, goldenIn} from './golden.js';

/** The folder of CoCa's goldens: test/golden-coca, or $GOLDEN_COCA_DIR, which has the same files or some of them. */
export const cocaGoldenDir: string =
  process.env['GOLDEN_COCA_DIR'] ?? path.join(import.meta.dirname, '..', '..', 'golden-coca');

/** The bytes of a golden such as `micro/goldens.json`, from it or its `.gz`. */
export function cocaGoldenBytes(name: string): Uint8Array {
  return goldenIn(cocaGoldenDir).bytes(name);
}

/** Named arrays of a `.safetensors`. */
export function cocaArrays(name: `${string}.safetensors`): Record<string, GoldenArray> {
  return goldenIn(cocaGoldenDir).arrays(name);
}

/** A `.json`; its shape is the test's business. */
export function cocaJson<T>(name: `${string}.json`): T {
  return goldenIn(cocaGoldenDir).json(name) as T;
}

/** A suite of some goldens; where the folder lacks one, it is skipped, and its title says why. */
export function describeCoca(title: string, names: readonly string[], suite: () => void): void {
  const missing = names.filter(
    (name) => ![name, `${name}.gz`].some((file) => fs.existsSync(path.join(cocaGoldenDir, file))),
  );
  if (missing.length === 0) describe(title, suite);
  // The suite is not even entered: it reads its goldens where it begins.
  else
    describe.skip(`${title}: skipped, ${missing.join(', ')} not in ${cocaGoldenDir}`, () =>
      test.todo('goldens missing'));
}
