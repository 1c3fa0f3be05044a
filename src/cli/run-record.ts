import {recordEntailment} from '../calibration/record-entailment.js';
import {type RecordingHeader, recordingRow} from '../calibration/recording.js';
import {inShard, parseShard, WHOLE} from '../calibration/shard.js';
import type {DatasetItem} from '../data/dataset.js';
import type {PictureDepths} from '../models/model.js';
import {dataFingerprint} from '../node/data-fingerprint.js';
import {openDataset} from '../node/open-dataset.js';
import {RowLog} from '../node/row-log.js';
import {InputError, type MueError, throwIfAborted} from '../runtime/errors.js';
import type {Assistant} from '../tasks/assistant.js';
import {ENTAILMENT_ANSWERS} from '../tasks/prompts.js';
import type {CommandContext} from './command.js';
import {loadFrom} from './load.js';
import {readPicture} from './read-picture.js';
import type {RecordFlags} from './record.js';

/** Records entailment items. Rows that are in the file already are not run again. */
export async function runRecord(_args: readonly [], flags: RecordFlags, {out, signal}: CommandContext): Promise<number> {
  let failed = 0;
  const onBadRow = ({line, error}: {line: number; error: MueError}): void => {
    failed++;
    out.warn(`warning: line ${line} is skipped: ${error.message}`);
  };
  const dataset = openDataset(flags.data, {task: flags.task, images: flags.images, columns: flags.columns, onBadRow});
  const {sha256: data} = await dataFingerprint(flags.data, signal);
  const shard = flags.shard === undefined ? WHOLE : parseShard(flags.shard);
  const {mue} = await loadFrom(flags, out);
  using _model = mue;
  const depths = Object.entries(mue.model.stacks).map(([stack, depth]) => ({stack, depth}));
  const header: RecordingHeader = {
    format: 'mue-recording',
    version: 1,
    task: flags.task,
    model: mue.sha256 ?? '',
    data,
    answers: ENTAILMENT_ANSWERS,
    stacks: depths,
  };
  using log = RowLog.open(flags.out, {...header});
  const done = new Set(log.rows.map((row) => row['index']));
  if (done.size > 0) out.say(`${done.size} rows are recorded already`);
  let picture: {readonly id: string; readonly depths: PictureDepths} | undefined;
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
      if (flags.limit !== undefined && index >= flags.limit) break;
      if (!inShard(pictures, shard) || done.has(index)) continue;
      try {
        if (picture?.id !== item.imageId) {
          picture?.depths[Symbol.dispose]();
          picture = undefined;
          picture = {id: item.imageId, depths: await pictureDepths(mue, item, signal)};
        }
        log.append({
          ...(await row(
            mue,
            picture.depths,
            item,
            index,
            depths.map(({depth}) => depth),
            signal,
          )),
        });
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
  out.say(`${flags.out}: ${done.size + written} rows${failed ? `, ${failed} skipped` : ''}`);
  if (done.size + written === 0 && failed === 0) throw new InputError('data-empty', `${flags.data} has no rows`);
  return failed > 0 ? 5 : 0;
}

async function pictureDepths(mue: Assistant, {image}: DatasetItem, signal: AbortSignal): Promise<PictureDepths> {
  const pixels = await mue.pixels('bytes' in image ? image.bytes : await readPicture(image.path));
  try {
    return await mue.model.pictureDepths(pixels, {signal});
  } finally {
    pixels.dispose();
  }
}

async function row(
  mue: Assistant,
  picture: PictureDepths,
  item: DatasetItem,
  index: number,
  depths: readonly number[],
  signal: AbortSignal,
): Promise<object> {
  const {text, label, id, imageId, extra} = item;
  if (text === undefined || label === undefined) throw new InputError('row-incomplete', 'a row to record needs a hypothesis and a label');
  const {source, target, answers} = mue.entailmentTokens(text, mue.readsPremise ? item.premise : undefined);
  if (answers.some((answer) => answer.length !== 1))
    throw new InputError('answers-long', "this vocabulary splits the answers 'no', 'yes', 'maybe'; they cannot be recorded in one step");
  const record = await recordEntailment(
    mue.model,
    picture,
    source,
    target,
    answers.map(([token]) => token!),
    signal,
  );
  return recordingRow({index, id, imageId, label, ...(extra ? {extra} : {})}, record, depths);
}
