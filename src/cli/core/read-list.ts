import fs from 'node:fs';
import {UsageError} from '../../runtime/errors.js';

/** The lines of a text file, trimmed; empty ones count for nothing. @throws UsageError `list-unreadable` */
export function readList(file: string, flag: string): string[] {
  try {
    return fs
      .readFileSync(file, 'utf8')
      .replace(/^\ufeff/, '')
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== '');
  } catch (cause) {
    throw new UsageError('list-unreadable', `${flag} ${file}: ${(cause as Error).message}`, {cause});
  }
}
