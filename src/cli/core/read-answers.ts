import fs from 'node:fs';
import {UsageError} from '../../runtime/errors.js';

/** The allowed answers of a question, one a line; empty lines count for nothing. @throws UsageError */
export function readAnswers(file: string): string[] {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError('answers-unreadable', `--answers ${file}: ${(cause as Error).message}`, {cause});
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  if (lines.length === 0) throw new UsageError('answers-empty', `--answers ${file}: there is no answer in it`);
  return lines;
}
