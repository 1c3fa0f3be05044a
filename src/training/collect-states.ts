import * as tf from '@tensorflow/tfjs';
import {NEVER_PLAN} from '../exit/plan/schema.js';
import {type ExitPolicy, never} from '../exit/policy.js';
import {writingStack} from '../exit/stacks.js';
import type {ScoreInput, VisionLanguageModel} from '../models/model.js';
import {InputError, throwIfAborted} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {VisionLanguagePipeline} from '../tasks/pipeline.js';
import {ENTAILMENT_ANSWERS} from '../tasks/prompts.js';
import {type AdapterTask, byPicture, type TrainingRow} from './rows.js';
import type {StateStore} from './states.js';

// n rows of one picture, R rows that run, T positions, P scored positions, L layers, D width

export interface CollectOptions {
  readonly signal?: AbortSignal;
  /** Called for a row that cannot be used; without it the error is thrown. */
  readonly onBadRow?: (bad: {readonly line: number; readonly error: InputError}) => void;
  /** Called after every picture, with the rows so far, those of an earlier run included. */
  readonly onProgress?: (rows: number) => void;
}

/** One row as tokens: what is fed, and where states are read. */
interface FedRow {
  readonly source: readonly number[];
  readonly target: readonly number[];
  /** Scored positions of the target, in order. */
  readonly positions: readonly number[];
  /** One a position: the number of the right answer, or the next token; −1 where it is not known. */
  readonly labels: readonly number[];
}

/**
 * Runs the model at full depth over rows, and keeps the states after every layer of the stack that writes at the
 * positions whose logits the task reads. Of entailment that is the last position of the prompt; of captions, all of
 * the first reference, or, where a row has none, of the model's own greedy caption.
 * @param pipeline   borrowed
 * @param store      pictures that it has already are not run again
 * @returns          how many rows it holds now
 * @throws           InputError for a row that cannot be used, where no `onBadRow` listens; AbortError
 */
export async function collectStates(
  pipeline: VisionLanguagePipeline,
  task: AdapterTask,
  rows: AsyncIterable<TrainingRow>,
  store: StateStore,
  {signal, onBadRow, onProgress}: CollectOptions = {},
): Promise<number> {
  const done = new Set(store.groups.map(({index}) => index));
  let count = 0;
  for await (const group of byPicture(rows)) {
    throwIfAborted(signal);
    const {index, imageId} = group[0]!;
    if (!done.has(index)) {
      try {
        const found = await collectGroup(pipeline, task, group, signal, onBadRow);
        if (found) store.append({index, imageId, labels: found.labels}, found.states);
      } catch (error) {
        if (
          !onBadRow ||
          !(error instanceof InputError) ||
          error.code === 'cannot-write' ||
          error.code === 'folder-in-use'
        )
          throw error;
        for (const row of group) onBadRow({line: row.index + 1, error});
      }
    }
    count += group.length;
    onProgress?.(count);
  }
  return count;
}

/** @returns undefined if no row can be used */
async function collectGroup(
  pipeline: VisionLanguagePipeline,
  task: AdapterTask,
  group: readonly TrainingRow[],
  signal: AbortSignal | undefined,
  onBadRow: CollectOptions['onBadRow'],
): Promise<{readonly labels: readonly number[]; readonly states: Float32Array} | undefined> {
  using scope = new TensorScope();
  const pixels = scope.hold(await pipeline.pixels(await group[0]!.picture()));
  const fed: FedRow[] = [];
  for (const row of group) {
    try {
      fed.push(task === 'snli-ve' ? entailmentRow(pipeline, row) : await captionRow(pipeline, row, pixels, signal));
    } catch (error) {
      if (!onBadRow || !(error instanceof InputError)) throw error;
      onBadRow({line: row.index + 1, error});
    }
  }
  if (fed.length === 0) return undefined;
  const prompts = fed.map(({source}) => source);
  const encoded = scope.hold(await pipeline.model.encode({pixels, prompts}, never, {signal}));
  const states = await statesOf(pipeline.model, encoded, fed, signal);
  return {labels: fed.flatMap(({labels}) => labels), states};
}

function entailmentRow(pipeline: VisionLanguagePipeline, {text, premise, label}: TrainingRow): FedRow {
  if (text === undefined) throw new InputError('row-incomplete', 'a row of entailment needs a hypothesis');
  const {source, target} = pipeline.entailmentTokens(text, pipeline.readsPremise ? premise : undefined);
  const number = label === undefined ? -1 : ENTAILMENT_ANSWERS.indexOf(label);
  return {source, target, positions: [target.length - 1], labels: [number]};
}

async function captionRow(
  pipeline: VisionLanguagePipeline,
  {references}: TrainingRow,
  pixels: tf.Tensor4D,
  signal: AbortSignal | undefined,
): Promise<FedRow> {
  const writer = pipeline.captionWriter({num_beams: 1});
  const {source, prompt} = writer;
  const given = references?.[0];
  let tokens: readonly number[];
  if (given === undefined) {
    using scope = new TensorScope();
    const encoded = scope.hold(await pipeline.model.encode({pixels, prompts: [source]}, never, {signal}));
    const {rows, maxSteps} = writer;
    const decoding = scope.hold(pipeline.model.startDecoding(encoded, rows, maxSteps, NEVER_PLAN.skippedKv));
    tokens = (await writer.write(decoding, 1, never, {signal}))[0]!.tokens;
  } else {
    tokens = pipeline.captionTokens(given);
    // The model has positions for no more.
    tokens = tokens.slice(0, Math.max(0, writer.maxSteps - prompt.length + 1));
  }
  if (tokens.length === 0) throw new InputError('row-incomplete', 'the caption is empty');
  const first = prompt.length - 1;
  return {
    source,
    target: [...prompt, ...tokens.slice(0, -1)],
    positions: tokens.map((_, i) => first + i),
    labels: tokens,
  };
}

/** States after every layer of the stack that writes. @returns [L, P, D] */
async function statesOf(
  model: VisionLanguageModel,
  encoded: Parameters<VisionLanguageModel['score']>[0],
  fed: readonly FedRow[],
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  using scope = new TensorScope();
  const writing = writingStack(model.stacks);
  const at: ScoreInput['at'] = fed.flatMap(({positions}, row) => positions.map((position) => ({row, position})));
  const size = at.length * model.stateSize;
  const states = new Float32Array(model.stacks[writing]! * size);
  const watch: ExitPolicy = {
    name: 'states',
    observe: async (_before, after, {stack, layer}) => {
      if (stack !== writing) return {exit: false};
      const rows = tf.tidy(() => {
        const [, t, d] = after.shape;
        const index = at.map(({row, position}) => row * t + position);
        return tf.gather(after.reshape([-1, d]), tf.tensor1d(index, 'int32'));
      });
      states.set(await scope.hold(rows).data(), (layer - 1) * size);
      scope.drop(rows);
      return {exit: false};
    },
  };
  const targets = fed.map(({target}) => target);
  // One logit is the fewest that can be asked for.
  const {logits} = await model.score(encoded, {targets, at: at.slice(0, 1), ids: [0]}, watch, {signal});
  logits.dispose();
  return states;
}
