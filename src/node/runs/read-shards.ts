import {createHash} from 'node:crypto';
import {parseRecording, type Recording} from '../../calibration/recording/entailment.js';
import {InputError} from '../../runtime/errors.js';
import {readRowLog} from './row-log.js';

/** The rows of one or several files that `RowLog` wrote, as those of one file. */
export interface Shards {
  readonly header: Readonly<Record<string, unknown>>;
  /** The rows by ascending index, so that the way they were cut into shards makes no difference. */
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** SHA-256 of the header and the rows. */
  readonly sha256: string;
  /** The names of the files, for errors. */
  readonly source: string;
}

/**
 * Reads a file of rows, or the shards of one.
 * @throws InputError if a file is missing, damaged, empty, or of another model or data set than the first, or a row is
 *   in two of them
 */
export function readShards(files: readonly string[]): Shards {
  const found = new Map<number, {readonly row: Readonly<Record<string, unknown>>; readonly file: string}>();
  let header: Readonly<Record<string, unknown>> | undefined;
  for (const file of files) {
    const log = readRowLog(file);
    header ??= log.header;
    const differs = [...new Set([...Object.keys(header), ...Object.keys(log.header)])].find(
      (name) => JSON.stringify(log.header[name]) !== JSON.stringify(header?.[name]),
    );
    if (differs !== undefined)
      throw new InputError(
        'recording-mismatch',
        `${file} and ${files[0]} were not recorded alike: their '${differs}' differs`,
        {
          hint: 'Only shards of one recording can be put together.',
        },
      );
    for (const [i, row] of log.rows.entries()) {
      const index = row['index'];
      if (typeof index !== 'number') throw new InputError('recording-corrupt', `${file}: row ${i + 1} has no index`);
      const other = found.get(index);
      if (other !== undefined)
        throw new InputError('recording-overlap', `row ${index} of the data is in ${other.file} and again in ${file}`);
      found.set(index, {row, file});
    }
  }
  const rows = [...found.entries()].sort(([a], [b]) => a - b).map(([, {row}]) => row);
  const hash = createHash('sha256').update(`${JSON.stringify(header)}\n`);
  for (const row of rows) hash.update(`${JSON.stringify(row)}\n`);
  return {header: header!, rows, sha256: hash.digest('hex'), source: files.join(', ')};
}

/**
 * Checks that there are rows. Call it after the header was checked: a file that is no recording has no rows either.
 * @throws InputError `recording-empty`
 */
export function requireRows({rows, source}: Shards): void {
  if (rows.length === 0)
    throw new InputError('recording-empty', `${source}: the recording has no rows`, {
      hint: '`mue record` goes on with an unfinished one.',
    });
}

/**
 * Reads a recording of entailment items, or the shards of one.
 * @returns the recording and the SHA-256 of its header and rows
 * @throws InputError if a file is no such recording, or as `readShards` does
 */
export function readRecordings(files: readonly string[]): {readonly recording: Recording; readonly sha256: string} {
  return recordingOf(readShards(files));
}

/** `readRecordings` for files that were read already. */
export function recordingOf(shards: Shards): {readonly recording: Recording; readonly sha256: string} {
  const recording = parseRecording(shards.header, shards.rows, shards.source);
  requireRows(shards);
  return {recording, sha256: shards.sha256};
}
