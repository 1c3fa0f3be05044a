import * as tf from '@tensorflow/tfjs';
import {NEVER_PLAN} from '../exit/plan/schema.js';
import {type ExitPolicy, never, type StackName} from '../exit/policy.js';
import {writingStack} from '../exit/stacks.js';
import type {Encoded, ScoreInput, VisionLanguageModel} from '../models/model.js';
import {InputError, throwIfAborted} from '../runtime/errors.js';
import {append} from '../runtime/extremes.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {VisionLanguagePipeline} from '../tasks/pipeline.js';
import type {AnswerWriter} from '../tasks/processor.js';
import {ENTAILMENT_ANSWERS} from '../tasks/prompts.js';
import {type AdapterTask, byPicture, MOST_TOGETHER, type TrainingRow} from './rows.js';
import type {StateStore} from './states.js';

// n rows of one picture, R rows that run, T positions, P scored positions, L layers, D width

export interface CollectOptions {
  /** Most captions of a row that are used; `REFERENCES` by default. */
  readonly references?: number;
  readonly signal?: AbortSignal;
  /** Called for a row that cannot be used; without it the error is thrown. */
  readonly onBadRow?: (bad: {readonly line: number; readonly error: InputError}) => void;
  /** Called after every picture, with the rows so far, those of an earlier run included. */
  readonly onProgress?: (rows: number) => void;
}

/** Captions of a row that are used: as many as data sets of captions usually have. */
export const REFERENCES = 5;

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
 * its references, or, where a row has none, of the model's own greedy caption.
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
  {references = REFERENCES, signal, onBadRow, onProgress}: CollectOptions = {},
): Promise<number> {
  const done = new Set(store.groups.map(({index}) => index));
  let count = 0;
  for await (const group of byPicture(rows)) {
    throwIfAborted(signal);
    const {index, imageId} = group[0]!;
    if (!done.has(index)) {
      try {
        const found = await collectGroup(pipeline, task, group, references, {signal, onBadRow});
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
  references: number,
  {signal, onBadRow}: CollectOptions,
): Promise<{readonly labels: readonly number[]; readonly states: Float32Array} | undefined> {
  using scope = new TensorScope();
  const pixels = scope.hold(await pipeline.pixels(await group[0]!.picture()));
  const fed: FedRow[] = [];
  for (const row of group) {
    try {
      if (task === 'snli-ve') fed.push(entailmentRow(pipeline, row));
      else append(fed, await captionRows(pipeline, row, pixels, references, signal));
    } catch (error) {
      if (!onBadRow || !(error instanceof InputError)) throw error;
      onBadRow({line: row.index + 1, error});
    }
  }
  if (fed.length === 0) return undefined;
  const labels = fed.flatMap((row) => row.labels);
  const states = new PositionStates(pipeline.model, labels.length);
  // Rows with one prompt are about one encoding.
  const {source} = fed[0]!;
  const alike = fed.every((row) => row.source.join() === source.join());
  const prompts = alike ? [source] : fed.map((row) => row.source);
  const encoded = scope.hold(await pipeline.model.encode({pixels, prompts}, never, {signal}));
  const together = alike ? MOST_TOGETHER : fed.length;
  for (let first = 0; first < fed.length; first += together)
    await states.run(pipeline.model, encoded, fed.slice(first, first + together), signal);
  return {labels, states: states.values};
}

function entailmentRow(pipeline: VisionLanguagePipeline, {text, premise, label}: TrainingRow): FedRow {
  if (text === undefined) throw new InputError('row-incomplete', 'a row of entailment needs a hypothesis');
  const {source, target} = pipeline.entailmentTokens(text, pipeline.readsPremise ? premise : undefined);
  const number = label === undefined ? -1 : ENTAILMENT_ANSWERS.indexOf(label);
  return {source, target, positions: [target.length - 1], labels: [number]};
}

/** A row for each of the captions. @param most captions that are used */
async function captionRows(
  pipeline: VisionLanguagePipeline,
  {references = []}: TrainingRow,
  pixels: tf.Tensor4D,
  most: number,
  signal: AbortSignal | undefined,
): Promise<FedRow[]> {
  const writer = pipeline.captionWriter({num_beams: 1});
  const {source, prompt} = writer;
  const given = [...new Set(references.slice(0, most))];
  // The model has positions for no more.
  const room = Math.max(0, writer.maxSteps - prompt.length + 1);
  const captions =
    given.length === 0
      ? [await ownCaption(pipeline, writer, pixels, signal)]
      : given.map((text) => pipeline.captionTokens(text).slice(0, room));
  const first = prompt.length - 1;
  return captions.map((tokens) => {
    if (tokens.length === 0) throw new InputError('row-incomplete', 'the caption is empty');
    return {
      source,
      target: [...prompt, ...tokens.slice(0, -1)],
      positions: tokens.map((_, i) => first + i),
      labels: tokens,
    };
  });
}

/** Token ids that the model writes itself, the end symbol included. */
async function ownCaption(
  {model}: VisionLanguagePipeline,
  writer: AnswerWriter,
  pixels: tf.Tensor4D,
  signal: AbortSignal | undefined,
): Promise<readonly number[]> {
  using scope = new TensorScope();
  const encoded = scope.hold(await model.encode({pixels, prompts: [writer.source]}, never, {signal}));
  const decoding = scope.hold(model.startDecoding(encoded, writer.rows, writer.maxSteps, NEVER_PLAN.skippedKv));
  return (await writer.write(decoding, 1, never, {signal}))[0]!.tokens;
}

/** States after every layer of the stack that writes, at P positions that passes fill one after the other. */
class PositionStates {
  /** [L, P, D] */
  readonly values: Float32Array;
  readonly #stack: StackName;
  /** Positions that are filled. */
  #filled = 0;

  constructor(
    model: Pick<VisionLanguageModel, 'stacks' | 'stateSize'>,
    private readonly positions: number,
  ) {
    this.#stack = writingStack(model.stacks);
    this.values = new Float32Array(model.stacks[this.#stack]! * positions * model.stateSize);
  }

  /** @param encoded one image, or one for each row; borrowed */
  async run(
    model: VisionLanguageModel,
    encoded: Encoded,
    fed: readonly FedRow[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    using scope = new TensorScope();
    const {stateSize} = model;
    const at: ScoreInput['at'] = fed.flatMap(({positions}, row) => positions.map((position) => ({row, position})));
    const watch: ExitPolicy = {
      name: 'states',
      observe: async (_before, after, {stack, layer}) => {
        if (stack !== this.#stack) return {exit: false};
        const rows = tf.tidy(() => {
          const [, t, d] = after.shape;
          const index = at.map(({row, position}) => row * t + position);
          return tf.gather(after.reshape([-1, d]), tf.tensor1d(index, 'int32'));
        });
        this.values.set(await scope.hold(rows).data(), ((layer - 1) * this.positions + this.#filled) * stateSize);
        scope.drop(rows);
        return {exit: false};
      },
    };
    const targets = fed.map(({target}) => target);
    // One logit is the fewest that can be asked for.
    const {logits} = await model.score(encoded, {targets, at: at.slice(0, 1), ids: [0]}, watch, {signal});
    logits.dispose();
    this.#filled += at.length;
  }
}
