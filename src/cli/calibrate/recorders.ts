import {CAPTION_RECORDING, type CaptionRecordingHeader, captionRow} from '../../calibration/recording/caption.js';
import {recordCaption} from '../../calibration/recording/record-caption.js';
import {recordEntailment} from '../../calibration/recording/record-entailment.js';
import {type RecordingHeader, recordingRow} from '../../calibration/recording/entailment.js';
import {captionTarget} from '../../calibration/settings/runner.js';
import {stackDepths} from '../../calibration/stacks.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import {ENTAILMENT_ANSWERS} from '../../tasks/prompts.js';
import type {MakeRow} from './record-rows.js';

/** The recording of a task: the first line of its file, and how a row is made. */
export interface Recorder {
  readonly header: RecordingHeader | CaptionRecordingHeader;
  readonly row: MakeRow;
}

/** @param data SHA-256 of the data set */
export function captionRecorder(model: VisionLanguagePipeline, data: string): Recorder {
  const writer = model.captionWriter();
  const target = captionTarget(model);
  return {
    header: {
      format: CAPTION_RECORDING,
      version: 1,
      task: 'caption',
      model: target.model,
      data,
      generation: {...writer.settings},
      stacks: target.stacks,
    },
    row: async (states, {id, imageId, references = []}, index, signal) =>
      captionRow(
        {index, id, imageId, references},
        await recordCaption(model.model, states, writer, signal, model.exitAdapters.caption),
      ),
  };
}

/** @param data SHA-256 of the data set */
export function entailmentRecorder(model: VisionLanguagePipeline, data: string): Recorder {
  const stacks = stackDepths(model.model.stacks);
  const depths = stacks.map(({depth}) => depth);
  return {
    header: {
      format: 'mue-recording',
      version: 1,
      task: 'snli-ve',
      model: model.sha256 ?? '',
      data,
      answers: ENTAILMENT_ANSWERS,
      stacks,
    },
    async row(states, {text, label, premise, id, imageId, extra}, index, signal) {
      if (text === undefined || label === undefined)
        throw new InputError('row-incomplete', 'a row to record needs a hypothesis and a label');
      const {source, target, answers} = model.entailmentTokens(text, model.readsPremise ? premise : undefined);
      if (answers.some((answer) => answer.length !== 1))
        throw new InputError(
          'answers-long',
          "this vocabulary splits the answers 'no', 'yes', 'maybe'; they cannot be recorded in one step",
        );
      const tokens = answers.map(([token]) => token!);
      const recorded = await recordEntailment(
        model.model,
        states,
        source,
        target,
        tokens,
        signal,
        model.exitAdapters['snli-ve'],
      );
      return recordingRow({index, id, imageId, label, extra}, recorded, depths);
    },
  };
}

/** @throws UsageError `adapters-learnt-here` if the model's exit adapters learnt from these rows */
export function refuseLearntRows(
  {learntFrom}: VisionLanguagePipeline,
  task: 'caption' | 'snli-ve',
  file: string,
  sha256: string,
): void {
  if (learntFrom[task] !== sha256) return;
  throw new UsageError(
    'adapters-learnt-here',
    `the exit adapters of this model learnt from ${file}: on these rows they look better than they are`,
    {hint: 'Record other rows, or leave the adapters out: --no-adapters.'},
  );
}
