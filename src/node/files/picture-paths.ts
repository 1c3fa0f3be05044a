import fs from 'node:fs';
import path from 'node:path';
import {namedEntry} from './regular-file.js';

/** Names of picture files that are looked for in folders. */
export const PICTURES = /\.(jpe?g|png|webp|gif|bmp|tiff?)$/i;

/** The most folders that `**` looks into: a link may lead round in a circle. */
const MOST_DEPTH = 32;

/**
 * The files that a list of pictures names: a folder stands for the pictures in it, and a name with `*`, `?` or `[…]`
 * that is no file for what it matches, as where a shell left it alone (a quoted one, or on Windows); `**` stands for any
 * folders. Each in the order of names. A name that stands for nothing is kept: reading it says what is wrong.
 */
export function picturePaths(names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const found = expand(name);
    return found.length > 0 ? found : [name];
  });
}

function expand(name: string): string[] {
  const {kind} = name === '-' ? {kind: 'file'} : namedEntry(name);
  if (kind === 'folder')
    return entries(name)
      .filter((entry) => !entry.isDirectory() && PICTURES.test(entry.name))
      .map((entry) => path.join(name, entry.name));
  if (kind === 'file' || !/[*?[]/.test(name)) return [];
  const {root} = path.parse(name);
  const parts = name.slice(root.length).split(/[\\/]+/);
  return matches(root, parts, 0).filter((file) => namedEntry(file).kind === 'file');
}

/** The paths under `folder` that the parts of a pattern match. */
function matches(folder: string, [part, ...rest]: readonly string[], depth: number): string[] {
  if (part === undefined) return [folder];
  if (part === '**') {
    const inside = depth >= MOST_DEPTH ? [] : entries(folder || '.').filter((entry) => entry.isDirectory());
    const deeper = inside.flatMap((entry) => matches(path.join(folder, entry.name), ['**', ...rest], depth + 1));
    return [...matches(folder, rest, depth), ...deeper];
  }
  if (!/[*?[]/.test(part)) return matches(path.join(folder, part), rest, depth);
  const pattern = toRegExp(part);
  return entries(folder || '.')
    .filter(({name}) => pattern.test(name) && (part.startsWith('.') || !name.startsWith('.')))
    .flatMap(({name}) => matches(path.join(folder, name), rest, depth));
}

/** The entries of a folder by name; none where it cannot be read. */
function entries(folder: string): fs.Dirent[] {
  try {
    return fs.readdirSync(folder, {withFileTypes: true}).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return [];
  }
}

/** One part of a pattern: `*` any characters, `?` one, `[ab]` or `[!ab]` one of a set. */
function toRegExp(part: string): RegExp {
  const source = part.replace(/\*+|\?|\[([!^]?)([^\]]+)\]|[\\^$.|+(){}[\]]/g, (found, not?: string, set?: string) => {
    if (set !== undefined) return `[${not ? '^' : ''}${set.replace(/[\\\]^]/g, '\\$&')}]`;
    if (found.startsWith('*')) return '.*';
    return found === '?' ? '.' : `\\${found}`;
  });
  return new RegExp(`^${source}$`, 's');
}
