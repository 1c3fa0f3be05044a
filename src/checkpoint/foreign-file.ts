import {WeightsError} from '../runtime/errors.js';
import type {RandomAccess} from './random-access.js';

/**
 * Says of a file what it is, where it is one of those that downloads leave in the place of weights.
 * @param access borrowed
 * @param code the code of the error
 * @throws WeightsError of an empty file, a Git LFS pointer, a web page
 */
export async function refuseForeign(access: RandomAccess, code: string): Promise<void> {
  const head = new TextDecoder('latin1').decode(await access.read(0, Math.min(access.size, 512)));
  const refuse = (what: string, hint: string): WeightsError =>
    new WeightsError(code, `${access.name}: ${what}.`, {hint});
  if (access.size === 0) throw refuse('an empty file (0 bytes)', 'A download may have failed: fetch it again.');
  if (head.startsWith('version https://git-lfs'))
    throw refuse(
      'a Git LFS pointer, not the weights themselves',
      "Run 'git lfs pull' in its repository, or download the file itself.",
    );
  if (/^(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml)/i.test(head))
    throw refuse('a web page, not weights', 'The address may need a sign-in, or lead to a page about the file.');
}
