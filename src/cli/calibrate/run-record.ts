import {recordEntailment} from '../../calibration/recording/record-entailment.js';
import {CAPTION_RECORDING, type CaptionRecordingHeader, captionRow} from '../../calibration/recording/caption.js';
import {recordCaption} from '../../calibration/recording/record-caption.js';
import {type RecordingHeader, recordingRow} from '../../calibration/recording/entailment.js';
import {captionTarget} from '../../calibration/settings/runner.js';
import {stackDepths} from '../../calibration/stacks.js';
import {parseShard, WHOLE} from '../../evaluation/shard.js';
import type {DatasetItem} from '../../data/dataset.js';
import type {ImageStates} from '../../models/model.js';
import {dataFingerprint} from '../../node/dataset/fingerprint.js';
import {openDataset} from '../../node/dataset/open.js';
import {RowLog} from '../../node/runs/row-log.js';
import {InputError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import {ENTAILMENT_ANSWERS} from '../../tasks/prompts.js';
import type {CommandContext} from '../core/define-command.js';
import {loadFrom} from '../options/model.js';
import type {RecordFlags} from './record.js';
import {recordRows} from './record-rows.js';
import {SkippedRows} from '../core/skipped-rows.js';

/** Records a task's rows. Those that are in the file already are not run again. */
export async function runRecord(
  _args: readonly [],
  flags: RecordFlags,
  {out, signal}: CommandContext,
): Promise<number> {
  const skipped = new SkippedRows(out);
  const {onBadRow} = skipped;
  const dataset = openDataset(flags.data, {task: flags.task, images: flags.images, columns: flags.columns, onBadRow});
  const {sha256: data} = await dataFingerprint(flags.data, signal);
  const shard = flags.shard === undefined ? WHOLE : parseShard(flags.shard);
  const {mue} = await loadFrom(flags, out);
  using _model = mue;
  const {header, row} = flags.task === 'caption' ? captions(mue, data) : entailments(mue, data);
  using log = RowLog.open(flags.out, {...header});
  const rows = await recordRows({
    mue,
    dataset,
    log,
    shard,
    limit: flags.limit,
    row: (picture, item, index) => row(picture, item, index, signal),
    onBadRow,
    out,
    signal,
  });
  out.say(`${flags.out}: ${rows} rows${skipped.count ? `, ${skipped.count} skipped` : ''}`);
  if (rows === 0 && skipped.count === 0) throw new InputError('data-empty', `${flags.data} has no rows`);
  return skipped.exitCode;
}

/** What a task's recording says of itself, and how it makes a row. */
interface Recorder {
  readonly header: RecordingHeader | CaptionRecordingHeader;
  /** @throws InputError for a row that is to be skipped */
  readonly row: (picture: ImageStates, item: DatasetItem, index: number, signal: AbortSignal) => Promise<object>;
}

function captions(mue: VisionLanguagePipeline, data: string): Recorder {
  const writer = mue.captionWriter();
  const {model, stacks} = captionTarget(mue);
  return {
    header: {
      format: CAPTION_RECORDING,
      version: 1,
      task: 'caption',
      model,
      data,
      generation: {...writer.settings},
      stacks,
    },
    row: async (picture, {id, imageId, references = []}, index, signal) =>
      captionRow({index, id, imageId, references}, await recordCaption(mue.model, picture, writer, signal)),
  };
}

function entailments(mue: VisionLanguagePipeline, data: string): Recorder {
  const stacks = stackDepths(mue.model.stacks);
  const depths = stacks.map(({depth}) => depth);
  return {
    header: {
      format: 'mue-recording',
      version: 1,
      task: 'snli-ve',
      model: mue.sha256 ?? '',
      data,
      answers: ENTAILMENT_ANSWERS,
      stacks,
    },
    row: (picture, item, index, signal) => entailmentRow(mue, picture, item, index, depths, signal),
  };
}

async function entailmentRow(
  mue: VisionLanguagePipeline,
  picture: ImageStates,
  item: DatasetItem,
  index: number,
  depths: readonly number[],
  signal: AbortSignal,
): Promise<object> {
  const {text, label, id, imageId, extra} = item;
  if (text === undefined || label === undefined)
    throw new InputError('row-incomplete', 'a row to record needs a hypothesis and a label');
  const {source, target, answers} = mue.entailmentTokens(text, mue.readsPremise ? item.premise : undefined);
  if (answers.some((answer) => answer.length !== 1))
    throw new InputError(
      'answers-long',
      "this vocabulary splits the answers 'no', 'yes', 'maybe'; they cannot be recorded in one step",
    );
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
