import {inShard, type Shard} from '../../evaluation/shard.js';
import type {Dataset, DatasetItem} from '../../data/dataset.js';
import type {ImageStates} from '../../models/model.js';
import type {RowLog} from '../../node/runs/row-log.js';
import {InputError, type MueError, throwIfAborted} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {Output} from '../core/output.js';
import {readPicture} from '../core/read-picture.js';

export interface RecordRowsOptions {
  readonly mue: VisionLanguagePipeline;
  readonly dataset: Dataset;
  /** Rows go here; those that it has already are not run again. */
  readonly log: RowLog;
  /** Of pictures, so that rows with one picture stay together. */
  readonly shard: Shard;
  /** Only the first rows of the data set. */
  readonly limit?: number | undefined;
  /** @throws InputError for a row that is to be skipped */
  readonly row: (picture: ImageStates, item: DatasetItem, index: number) => Promise<object>;
  readonly onBadRow: (bad: {readonly line: number; readonly error: MueError}) => void;
  readonly out: Output;
  readonly signal: AbortSignal;
}

/** Runs the rows of a data set, each on its picture's states at all depths. @returns how many rows the file has now */
export async function recordRows({
  mue,
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
  let picture: {readonly id: string; readonly depths: ImageStates} | undefined;
  let [index, pictures, written] = [-1, -1, 0];
  let last: string | undefined;
  const start = performance.now();
  let said = start;
  try {
    for await (const item of dataset) {
      throwIfAborted(signal);
      index++;
      if (item.imageId !== last) pictures++;
      last = item.imageId;
      if (limit !== undefined && index >= limit) break;
      if (!inShard(pictures, shard) || done.has(index)) continue;
      try {
        if (picture?.id !== item.imageId) {
          picture?.depths[Symbol.dispose]();
          picture = undefined;
          picture = {id: item.imageId, depths: await pictureDepths(mue, item, signal)};
        }
        log.append({...(await row(picture.depths, item, index))});
        written++;
      } catch (error) {
        if (!(error instanceof InputError) || error.code === 'cannot-write') throw error;
        onBadRow({line: item.line, error});
      }
      const now = performance.now();
      if (now - said > 10_000) {
        said = now;
        out.say(`${done.size + written} rows, ${((written / (now - start)) * 1000).toFixed(2)} a second`);
      }
    }
  } finally {
    picture?.depths[Symbol.dispose]();
  }
  return done.size + written;
}

async function pictureDepths(
  mue: VisionLanguagePipeline,
  {image}: DatasetItem,
  signal: AbortSignal,
): Promise<ImageStates> {
  const pixels = await mue.pixels('bytes' in image ? image.bytes : await readPicture(image.path));
  try {
    return await mue.model.imageStates(pixels, {signal});
  } finally {
    pixels.dispose();
  }
}
