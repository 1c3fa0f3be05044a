import {InputError, type MueError} from '../runtime/errors.js';

/** What is asked of a data set's rows; the tasks of the command line. */
export type DatasetTask = 'caption' | 'snli-ve' | 'vqa';

/** Entailment in the model's words. */
export type EntailmentLabel = 'no' | 'yes' | 'maybe';

/** A picture's file content, or where its file is. */
export type ImageSource = {readonly bytes: Uint8Array} | {readonly path: string};

/** One row of a data set, whatever file it came from. Only what the row has is there. */
export interface DatasetItem {
  readonly id: string;
  /** Rows with the same picture have the same. */
  readonly imageId: string;
  readonly image: ImageSource;
  /** The hypothesis or the question, as written in the data. */
  readonly text?: string;
  /** The text premise of an entailment: a caption. */
  readonly premise?: string;
  readonly references?: readonly string[];
  readonly label?: EntailmentLabel;
  /** Answers with their confidence, the order of the data kept. */
  readonly answers?: ReadonlyMap<string, number>;
  readonly objects?: readonly string[];
  /** Further fields of a JSON row, such as a difficulty, as they are. */
  readonly extra?: Readonly<Record<string, unknown>>;
  /** Line of the file (number of the entry in a JSON array or folder), from 1. */
  readonly line: number;
}

/** Rows in file order. May be iterated again: each time from the start. */
export type Dataset = AsyncIterable<DatasetItem>;

/** A row that was skipped: its line, from 1, and why. */
export interface BadRow {
  readonly line: number;
  readonly error: MueError;
}

/** Told about every row that is skipped; without one the first bad row is thrown. */
export type OnBadRow = (row: BadRow) => void;

/** Reports a bad row and lets the caller go on. @throws the error where nobody listens. */
export function reportBadRow(onBadRow: OnBadRow | undefined, line: number, error: MueError): void {
  if (onBadRow === undefined) throw error;
  onBadRow({line, error});
}

/** A row that cannot be used. */
export function badRow(line: number, what: string, cause?: unknown): InputError {
  return new InputError('bad-row', `line ${line}: ${what}`, cause === undefined ? {} : {cause});
}

const LABELS: ReadonlyMap<string, EntailmentLabel> = new Map([
  ['contradiction', 'no'],
  ['entailment', 'yes'],
  ['neutral', 'maybe'],
  ['no', 'no'],
  ['yes', 'yes'],
  ['maybe', 'maybe'],
]);

/** @throws InputError `bad-row` for any word but the data sets' (contradiction, …) and the model's (no, …). */
export function entailmentLabel(word: string, line: number): EntailmentLabel {
  const label = LABELS.get(word);
  if (label === undefined)
    throw badRow(
      line,
      `the label is ${JSON.stringify(word.slice(0, 40))}, wanted entailment, contradiction or neutral`,
    );
  return label;
}

/** Checks that a row has what its task cannot do without. */
export function requireText(item: DatasetItem, task: DatasetTask): DatasetItem {
  if (task !== 'caption' && (item.text === undefined || item.text === '')) {
    throw badRow(item.line, task === 'vqa' ? 'there is no question' : 'there is no hypothesis');
  }
  return item;
}
