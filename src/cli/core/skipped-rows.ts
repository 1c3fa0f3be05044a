import type {Output} from './output.js';

/** Rows of a data set that cannot be used: each is told with its line, and all are counted. */
export class SkippedRows {
  count = 0;

  constructor(private readonly out: Output) {}

  readonly onBadRow = ({line, error}: {readonly line: number; readonly error: Error}): void => {
    this.count++;
    this.out.warn(`warning: line ${line} is skipped: ${error.message}`);
  };

  /** 5 if some inputs failed. */
  get exitCode(): number {
    return this.count > 0 ? 5 : 0;
  }
}
