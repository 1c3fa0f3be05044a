import {recordEntailment} from '../calibration/record-entailment.js';
import {type RecordingHeader, recordingRow} from '../calibration/recording.js';
import {parseShard, WHOLE} from '../calibration/shard.js';
import type {DatasetItem} from '../data/dataset.js';
import type {PictureDepths} from '../models/model.js';
import {dataFingerprint} from '../node/data-fingerprint.js';
import {openDataset} from '../node/open-dataset.js';
import {RowLog} from '../node/row-log.js';
import {InputError, type MueError} from '../runtime/errors.js';
import type {Mue} from '../tasks/mue.js';
import {ENTAILMENT_ANSWERS} from '../tasks/prompts.js';
import type {CommandContext} from './command.js';
import {loadFrom} from './load.js';
import type {RecordFlags} from './record.js';
import {recordRows} from './record-rows.js';

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
  const rows = await recordRows({
    mue,
    dataset,
    log,
    shard,
    limit: flags.limit,
    row: (picture, item, index) =>
      row(
        mue,
        picture,
        item,
        index,
        depths.map(({depth}) => depth),
        signal,
      ),
    onBadRow,
    out,
    signal,
  });
  out.say(`${flags.out}: ${rows} rows${failed ? `, ${failed} skipped` : ''}`);
  if (rows === 0 && failed === 0) throw new InputError('data-empty', `${flags.data} has no rows`);
  return failed > 0 ? 5 : 0;
}

async function row(
  mue: Mue,
  picture: PictureDepths,
  item: DatasetItem,
  index: number,
  depths: readonly number[],
  signal: AbortSignal,
): Promise<object> {
  const {text, label, id, imageId, extra} = item;
  if (text === undefined || label === undefined) throw new InputError('row-incomplete', 'a row to record needs a hypothesis and a label');
  const {source, target, answers} = mue.entailmentTokens(text, mue.model.config.add_caption ? item.premise : undefined);
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
