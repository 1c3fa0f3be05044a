import {InputError, MueError} from '../runtime/errors.js';

/** The task that a data set is for. */
export const DATASET_TASKS = ['caption', 'snli-ve', 'vqa'] as const;
export type DatasetTask = (typeof DATASET_TASKS)[number];

/** Entailment in the model's words. */
export type EntailmentLabel = 'no' | 'yes' | 'maybe';

/** A picture: the content of its file, or the path of it. */
export type ImageSource = {readonly bytes: Uint8Array} | {readonly path: string};

/** A row of a data set, whatever file it came from. Fields that the row lacks are undefined. */
export interface DatasetItem {
  readonly id: string;
  /** Equal for rows with the same picture. */
  readonly imageId: string;
  readonly image: ImageSource;
  /** The hypothesis or the question, as written in the data. */
  readonly text?: string;
  /** The text premise of an entailment: a caption. */
  readonly premise?: string;
  readonly references?: readonly string[];
  readonly label?: EntailmentLabel;
  /** Accepted answers and their confidence, in the order of the data. */
  readonly answers?: ReadonlyMap<string, number>;
  /** Objects that the data names for the picture. */
  readonly objects?: readonly string[];
  /** Further fields of a JSON row, such as a difficulty, as they are. */
  readonly extra?: Readonly<Record<string, unknown>>;
  /** The line of the file (the number of the entry in a JSON array or folder), from 1. */
  readonly line: number;
}

/** Rows in file order. Each iteration starts from the beginning. */
export type Dataset = AsyncIterable<DatasetItem>;

/** A row that was skipped: its line, from 1, and why. */
export interface BadRow {
  readonly line: number;
  readonly error: MueError;
}

/** Called for every row that is skipped. Where there is none, the first bad row is thrown. */
export type OnBadRow = (row: BadRow) => void;

/**
 * Reports a bad row, so that the caller can go on.
 * @throws the error where nobody listens
 */
export function reportBadRow(onBadRow: OnBadRow | undefined, line: number, error: MueError): void {
  if (onBadRow === undefined) throw error;
  onBadRow({line, error});
}

/** The error for a row that cannot be used. It keeps the hint of its cause. */
export function badRow(line: number, what: string, cause?: unknown): InputError {
  const hint = cause instanceof MueError ? cause.hint : undefined;
  return new InputError('bad-row', `line ${line}: ${what}`, {cause, hint});
}

const LABELS: ReadonlyMap<string, EntailmentLabel> = new Map([
  ['contradiction', 'no'],
  ['entailment', 'yes'],
  ['neutral', 'maybe'],
  ['no', 'no'],
  ['yes', 'yes'],
  ['maybe', 'maybe'],
]);

/**
 * The model's word for a label.
 * @throws InputError `bad-row` for any word but those of data sets (contradiction, …) and of the model (no, …)
 */
export function entailmentLabel(word: string, line: number): EntailmentLabel {
  const label = LABELS.get(word);
  if (label === undefined)
    throw badRow(
      line,
      `the label is ${JSON.stringify(word.slice(0, 40))}, wanted entailment, contradiction or neutral`,
    );
  return label;
}

/**
 * Checks that a row has the text that its task needs.
 * @returns the row
 * @throws InputError `bad-row`
 */
export function requireText(item: DatasetItem, task: DatasetTask): DatasetItem {
  if (task !== 'caption' && (item.text === undefined || item.text === '')) {
    throw badRow(item.line, task === 'vqa' ? 'there is no question' : 'there is no hypothesis');
  }
  return item;
}
