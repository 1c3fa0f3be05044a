import fs from 'node:fs';
import {readRowLog, RowLog} from '../runs/row-log.js';
import {writeAtomic} from '../runs/write-atomic.js';
import type {TrainingStep} from '../../training/trainer.js';
import type {TrainingRun} from './training-run.js';
import type {Validation} from './validation.js';

/** An update, and what a validation after it found. */
export interface TrainedStep extends TrainingStep {
  readonly updates: number;
  readonly validation?: Validation & {readonly best: boolean};
}

/** log.jsonl: a line for the run, then a line an update. Disposing it closes the file. */
export class TrainingLog implements Disposable {
  private constructor(private readonly rows: RowLog) {}

  /**
   * Opens for appending. Updates that the kept state knows nothing of will be done again: their lines are cut off.
   * @param update   updates that the state has
   * @throws UsageError `resume-mismatch`, InputError `folder-in-use`, `recording-corrupt`, `cannot-write`
   */
  static open(file: string, run: TrainingRun, update: number): TrainingLog {
    if (fs.existsSync(file) && fs.statSync(file).size > 0) {
      // Opened once for its lock, and to cut off a torn line.
      using whole = RowLog.open(file, {...run});
      const kept = whole.rows.filter((row) => typeof row['update'] === 'number' && row['update'] <= update);
      if (kept.length < whole.rows.length) {
        const {header} = readRowLog(file);
        writeAtomic(file, [header, ...kept].map((row) => `${JSON.stringify(row)}\n`).join(''));
      }
    }
    return new TrainingLog(RowLog.open(file, {...run}));
  }

  step({update, updates: _, epoch, ms, ...step}: TrainedStep): void {
    this.rows.append({update, epoch: round(epoch), ...step, ms: Math.round(ms)});
  }

  [Symbol.dispose](): void {
    this.rows[Symbol.dispose]();
  }
}

function round(x: number): number {
  return Number(x.toPrecision(6));
}
