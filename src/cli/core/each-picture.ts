import {InputError} from '../../runtime/errors.js';
import {describeError} from './errors.js';
import type {Output} from './output.js';

/**
 * Does something with each of some pictures; one that fails is reported and the rest is done.
 * @returns 0, 5 if some pictures failed, 1 if all did
 */
export async function eachPicture(
  images: readonly string[],
  out: Output,
  run: (image: string) => Promise<void>,
  onFailed: (image: string, error: InputError) => void = () => undefined,
): Promise<number> {
  let failed = 0;
  for (const image of images) {
    try {
      await run(image);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      failed++;
      onFailed(image, error);
      out.warn(`${image}: ${describeError(error)}`.trimEnd());
    }
  }
  return failed === 0 ? 0 : failed === images.length ? 1 : 5;
}
