import {checkArguments, FUNCTION, NUMBER, OBJECT, ROWS} from '../runtime/check-arguments.js';
import type {DatasetItem, EntailmentLabel} from '../data/dataset.js';
import type {Picture} from '../tasks/pictures.js';

/** A row to learn from. Nothing but the picture is needed for captions, and a hypothesis for entailment. */
export interface TrainingRow {
  /** Position in the data set, from 0. */
  readonly index: number;
  readonly id: string;
  /** Equal for rows with the same picture, which follow each other. */
  readonly imageId: string;
  /** Read when its turn comes. */
  readonly picture: () => Promise<Picture>;
  /** The hypothesis. */
  readonly text?: string;
  readonly premise?: string;
  readonly label?: EntailmentLabel;
  /** Captions. */
  readonly references?: readonly string[];
  /** Accepted answers of a question and their confidence. */
  readonly answers?: ReadonlyMap<string, number>;
}

/** Tasks that exit adapters are trained for. */
export const ADAPTER_TASKS = ['snli-ve', 'caption'] as const;
export type AdapterTask = (typeof ADAPTER_TASKS)[number];

/** Most rows of one picture that run together. */
export const MOST_TOGETHER = 16;

/**
 * Rows of a data set with their numbers.
 * @param read    reads the file that an item names
 * @param limit   only the first rows
 */
export async function* trainingRows(
  items: AsyncIterable<DatasetItem>,
  read: (item: DatasetItem) => Promise<Picture>,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<TrainingRow> {
  checkArguments('trainingRows', {items: [items, ROWS], read: [read, FUNCTION], limit: [limit, NUMBER]});
  let index = 0;
  for await (const item of items) {
    if (index >= limit) return;
    checkArguments('trainingRows', {item: [item, OBJECT]});
    const {id, imageId, text, premise, label, references, answers} = item;
    const picture = (): Promise<Picture> => read(item);
    yield {index: index++, id, imageId, picture, text, premise, label, references, answers};
  }
}

/** Neighbouring rows with one picture, a bounded number at once. */
export async function* byPicture(rows: AsyncIterable<TrainingRow>): AsyncGenerator<readonly TrainingRow[]> {
  let group: TrainingRow[] = [];
  for await (const row of rows) {
    if (group.length > 0 && (group[0]!.imageId !== row.imageId || group.length === MOST_TOGETHER)) {
      yield group;
      group = [];
    }
    group.push(row);
  }
  if (group.length > 0) yield group;
}
