import fs from 'node:fs';
import path from 'node:path';
import {InputError} from '../../runtime/errors.js';

/**
 * Resolves the names of pictures in a folder to paths. A data set must not be able to name any file of the machine:
 * neither a name nor a link may lead out of the folder, of which the real paths count.
 * @returns a function that throws InputError `image-outside` for such a name
 */
export function insideFolder(folder: string): (name: string) => string {
  const root = path.resolve(folder);
  let realRoot: string | undefined;
  return (name) => {
    const file = path.resolve(root, name);
    if (!isWithin(root, file)) throw outside(`the picture ${shown(name)} lies`);
    // Where nothing is there, whoever opens the picture says so.
    realRoot ??= realPath(root);
    const real = realPath(file);
    if (real !== undefined && realRoot !== undefined && !isWithin(realRoot, real))
      throw outside(`the picture ${shown(name)} is reached by a link that leads`);
    return file;
  };
}

function isWithin(root: string, file: string): boolean {
  const within = path.relative(root, file);
  return within !== '' && within !== '..' && !within.startsWith(`..${path.sep}`) && !path.isAbsolute(within);
}

function realPath(file: string): string | undefined {
  try {
    return fs.realpathSync.native(file);
  } catch {
    return undefined;
  }
}

function outside(what: string): InputError {
  return new InputError('image-outside', `${what} outside the folder of the pictures`, {
    hint: 'Name a folder that holds all pictures (--images).',
  });
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
