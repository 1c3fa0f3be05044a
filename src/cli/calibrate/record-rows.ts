import type {Dataset, DatasetItem} from '../../data/dataset.js';
import {inShard, type Shard} from '../../evaluation/shard.js';
import type {ImageStates} from '../../models/model.js';
import type {RowLog} from '../../node/runs/row-log.js';
import {InputError, type MueError, throwIfAborted} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {CommandContext} from '../core/define-command.js';
import {readRowPicture} from '../../node/files/read-picture.js';

/**
 * Makes a row of a file from one item of the data set and its image's states at all depths, which are borrowed.
 * @throws InputError for an item that is to be skipped
 */
export type MakeRow = (states: ImageStates, item: DatasetItem, index: number, signal: AbortSignal) => Promise<object>;

export interface RecordRowsOptions extends CommandContext {
  /** Borrowed. */
  readonly model: VisionLanguagePipeline;
  readonly dataset: Dataset;
  /** Rows go here; items whose rows it has already are not run again. */
  readonly log: RowLog;
  /** A part of the images, so that rows with one image stay together. */
  readonly shard: Shard;
  /** Only the first rows of the data set. */
  readonly limit?: number;
  readonly row: MakeRow;
  readonly onBadRow: (bad: {readonly line: number; readonly error: MueError}) => void;
}

/** Runs the rows of a data set, each on its image's states at all depths. @returns how many rows the file has now */
export async function recordRows({
  model,
  dataset,
  log,
  shard,
  limit,
  row,
  onBadRow,
  out,
  signal,
}: RecordRowsOptions): Promise<number> {
  const done = new Set(log.rows.map(({index}) => index));
  if (done.size > 0) out.say(`${done.size} rows are recorded already`);
  /** States of the newest image: the next rows may be of the same one. */
  let newest: {readonly imageId: string; readonly states: ImageStates} | undefined;
  let [index, images, written] = [-1, -1, 0];
  let lastImageId: string | undefined;
  const start = performance.now();
  let said = start;
  try {
    for await (const item of dataset) {
      throwIfAborted(signal);
      index++;
      if (item.imageId !== lastImageId) images++;
      lastImageId = item.imageId;
      if (limit !== undefined && index >= limit) break;
      if (!inShard(images, shard) || done.has(index)) continue;
      let made: object;
      try {
        if (newest?.imageId !== item.imageId) {
          newest?.states[Symbol.dispose]();
          newest = undefined;
          newest = {imageId: item.imageId, states: await imageStates(model, item, signal)};
        }
        made = await row(newest.states, item, index, signal);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        onBadRow({line: item.line, error});
        continue;
      }
      log.append({...made});
      written++;
      const now = performance.now();
      if (now - said > 10_000) {
        said = now;
        out.say(`${done.size + written} rows, ${((written / (now - start)) * 1000).toFixed(2)} a second`);
      }
    }
  } finally {
    newest?.states[Symbol.dispose]();
  }
  return done.size + written;
}

async function imageStates(
  model: VisionLanguagePipeline,
  {image}: DatasetItem,
  signal: AbortSignal,
): Promise<ImageStates> {
  const pixels = await model.pixels(readRowPicture(image));
  try {
    return await model.model.imageStates(pixels, {signal});
  } finally {
    pixels.dispose();
  }
}
