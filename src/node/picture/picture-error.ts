import {InputError} from '../../runtime/errors.js';

/** The file is of a known format but damaged or cut off, as PIL raises for it too. */
export function corrupt(format: string, what: string, cause?: unknown): InputError {
  return new InputError('image-corrupt', `the ${format} picture is damaged: ${what}`, {
    hint: 'Save the picture again; a download may have been cut off.',
    ...(cause === undefined ? {} : {cause}),
  });
}

/** The file is sound but uses something that is not read here. */
export function unsupported(format: string, what: string): InputError {
  return new InputError('image-format', `the ${format} picture ${what}`, {hint: 'Convert it to an ordinary PNG or JPEG.'});
}
