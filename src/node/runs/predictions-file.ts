import fs from 'node:fs';
import {type EvaluationRow, evaluationRowSchema} from '../../evaluation/row.js';
import {readLines} from '../../data/lines.js';
import {InputError} from '../../runtime/errors.js';
import {readChunks} from '../dataset/open.js';
import {cannotWrite, writeAtomic, writeWhole} from './write-atomic.js';
import {checkUntouched} from './writer-lock.js';
import {parseJson} from '../../runtime/parse-json.js';

/**
 * The file predictions.jsonl, open for appending rows. Every append is one write that ends in a line break: whatever
 * kills the process, the file is whole rows and at most a torn end, which opening it again cuts off. Disposing it
 * closes the file.
 */
export class PredictionsFile implements Disposable {
  private constructor(
    readonly file: string,
    /** The rows that were there when it was opened, in the order of the file. */
    readonly rows: readonly EvaluationRow[],
    private readonly fd: number,
    private size: number,
  ) {}

  /**
   * Opens or creates it.
   * @throws InputError `predictions-corrupt`, `cannot-write`
   */
  static async open(file: string): Promise<PredictionsFile> {
    cutTornEnd(file);
    const rows = fs.existsSync(file) ? await readPredictions(file) : [];
    try {
      const fd = fs.openSync(file, 'a');
      return new PredictionsFile(file, rows, fd, fs.fstatSync(fd).size);
    } catch (error) {
      throw cannotWrite(file, error);
    }
  }

  /**
   * Appends a row. On an error the file is as it was before.
   * @throws InputError `folder-in-use` if another process writes there; `cannot-write`
   */
  append(row: EvaluationRow): void {
    const bytes = Buffer.from(`${JSON.stringify(row)}\n`);
    checkUntouched(this.fd, this.size, this.file);
    try {
      writeWhole(this.fd, bytes);
      this.size += bytes.length;
    } catch (error) {
      fs.ftruncateSync(this.fd, this.size);
      throw cannotWrite(this.file, error);
    }
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.fd);
  }
}

/**
 * The rows of predictions.jsonl in the order of the file.
 * @throws InputError `predictions-corrupt`, `predictions-missing`
 */
export async function readPredictions(file: string): Promise<EvaluationRow[]> {
  const rows: EvaluationRow[] = [];
  const seen = new Set<number>();
  if (!fs.existsSync(file))
    throw new InputError('predictions-missing', `${file}: there is no such file`, {hint: '`mue evaluate` writes it.'});
  const corrupt = (line: number, why: string): never => {
    throw new InputError('predictions-corrupt', `${file}: line ${line} is no row of an evaluation: ${why}`, {
      hint: 'Delete that line, and run the same `mue evaluate` again: it answers what is missing.',
    });
  };
  for await (const {text, line} of readLines(readChunks(file), {
    onBadRow: ({line, error}) => corrupt(line, error.message),
  })) {
    let json: unknown;
    try {
      json = parseJson(text);
    } catch (error) {
      corrupt(line, (error as Error).message);
    }
    const parsed = evaluationRowSchema.safeParse(json);
    if (!parsed.success) {
      const issue = parsed.error.issues[0]!;
      corrupt(line, `${issue.path.join('.') || 'row'}: ${issue.message}`);
    }
    const row = parsed.data as EvaluationRow;
    if (seen.has(row.index)) corrupt(line, `row ${row.index} is there twice`);
    seen.add(row.index);
    rows.push(row);
  }
  return rows;
}

/** Writes all rows in the order given, as a run without interruption would have. */
export function writePredictions(file: string, rows: readonly EvaluationRow[]): void {
  writeAtomic(file, lines());

  function* lines(): Generator<string> {
    for (const row of rows) yield `${JSON.stringify(row)}\n`;
  }
}

/** Cuts off a line without its end, which was being written when the process died. */
function cutTornEnd(file: string): void {
  let fd: number;
  try {
    fd = fs.openSync(file, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw cannotWrite(file, error);
  }
  try {
    const {size} = fs.fstatSync(fd);
    const buffer = Buffer.alloc(1 << 16);
    for (let end = size; end > 0; ) {
      const from = Math.max(0, end - buffer.length);
      const read = fs.readSync(fd, buffer, 0, end - from, from);
      const at = buffer.subarray(0, read).lastIndexOf(10);
      if (at >= 0 || from === 0) {
        if (from + at + 1 < size) fs.ftruncateSync(fd, from + at + 1);
        return;
      }
      end = from;
    }
  } finally {
    fs.closeSync(fd);
  }
}
