import * as tf from '@tensorflow/tfjs';
import type {EncoderOutput} from '../models/ofa/encode.js';
import {taskLosses} from '../models/ofa/loss.js';
import type {OfaModel} from '../models/ofa/model.js';
import {InputError, UsageError} from '../runtime/errors.js';
import {yieldToEventLoop} from '../runtime/yield.js';
import {Adam, type AdamState} from './adam.js';
import type {TrainingExample} from './examples.js';
import {TrainingOrder} from './order.js';
import {Parameters} from './parameters.js';
import {learningRateAt, SCHEDULES, type RateSchedule} from './schedule.js';

// L layers of the decoder

export const RECIPES = ['mue', 'plain'] as const;
/** `mue`: the loss after every decoder layer, summed; `plain`: after the last one alone. */
export type Recipe = (typeof RECIPES)[number];

/** Everything that decides what comes of a training, besides model and rows. */
export interface TrainingSettings {
  readonly recipe: Recipe;
  readonly updates: number;
  /** Rows of a pass; an update has `batch · accumulate`. */
  readonly batch: number;
  readonly accumulate: number;
  readonly learningRate: number;
  readonly schedule: RateSchedule;
  /** Updates of the warm-up. */
  readonly warmup: number;
  /** Largest norm of all gradients together; 0 for any. */
  readonly clip: number;
  /** Decoupled decay of all weights. */
  readonly decay: number;
  readonly betas: readonly [number, number];
  readonly labelSmoothing: number;
  /** Share of the tokens with the largest loss that is left out, and after how many updates that begins. */
  readonly dropWorst: number;
  readonly dropWorstAfter: number;
  /** Patterns of the names of weights that stay as they are. */
  readonly freeze: readonly string[];
  readonly seed: number;
}

/** One update. */
export interface TrainingStep {
  /** Counted from 1. */
  readonly update: number;
  readonly epoch: number;
  /** Nats a token, summed over the layers that are learnt from. */
  readonly loss: number;
  /** Nats a token of each of these layers, without smoothing. */
  readonly layers: readonly number[];
  readonly learningRate: number;
  /** Of all gradients together, before clipping. */
  readonly norm: number;
  readonly tokens: number;
  /** Updates so far that were left out, because their loss or gradients were no finite numbers. */
  readonly skipped: number;
  readonly ms: number;
}

/** What a training needs to go on, besides its settings. */
export interface TrainingState {
  readonly update: number;
  readonly skipped: number;
  /** Updates left out since the last one that was not. */
  readonly skippedInARow: number;
  readonly adam: AdamState;
  /** Of the trained weights, in their order. */
  readonly values: readonly Float32Array[];
}

/** Fetches what the decoder reads for some examples, to be made into tensors inside the tidy that takes gradients. */
export type EncoderOf<E extends TrainingExample> = (examples: readonly E[]) => Promise<() => EncoderOutput>;

/** Updates in a row without a finite loss, after which training ends. */
const MOST_SKIPPED = 10;

/**
 * Trains the weights of a model in place, an update at a time. Whoever computes with the model afterwards calls its
 * `weightsChanged`.
 */
export class TrainingLoop<E extends TrainingExample = TrainingExample> {
  readonly parameters: Parameters;
  readonly #adam: Adam;
  readonly #order: TrainingOrder;
  #update = 0;
  #skipped = 0;
  #skippedInARow = 0;

  /**
   * @param model      borrowed
   * @param examples   at least one
   * @throws UsageError for settings that cannot be
   */
  constructor(
    private readonly model: OfaModel,
    private readonly examples: readonly E[],
    private readonly encoderOf: EncoderOf<E>,
    private readonly settings: TrainingSettings,
  ) {
    checkSettings(settings);
    this.parameters = new Parameters(model.module, settings.freeze);
    const {values} = this.parameters;
    const {betas, decay} = settings;
    this.#adam = new Adam(
      values.map(({length}) => length),
      {betas, decay: values.map(() => decay)},
    );
    this.#order = new TrainingOrder(examples.length, settings.seed);
  }

  /** Updates that are done. */
  get update(): number {
    return this.#update;
  }

  get finished(): boolean {
    return this.#update >= this.settings.updates;
  }

  /** Borrowed, until the next step. */
  get state(): TrainingState {
    return {
      update: this.#update,
      skipped: this.#skipped,
      skippedInARow: this.#skippedInARow,
      adam: this.#adam.state,
      values: this.parameters.values,
    };
  }

  /** Goes on from a state of the same settings; copied. */
  restore({update, skipped, skippedInARow, adam, values}: TrainingState): void {
    this.#update = update;
    this.#skipped = skipped;
    this.#skippedInARow = skippedInARow;
    this.#adam.restore(adam);
    for (const [i, own] of this.parameters.values.entries()) own.set(values[i]!);
    this.parameters.write();
  }

  /**
   * One update. Aborted within, it has not begun.
   * @throws AbortError; InputError `training-diverged` after ten updates in a row without finite loss and gradients
   */
  async step(signal?: AbortSignal): Promise<TrainingStep> {
    const {batch, accumulate, clip, dropWorst, dropWorstAfter} = this.settings;
    const start = performance.now();
    const update = this.#update;
    const {parameters} = this;
    parameters.clear();
    let tokens = 0;
    let [loss, layers] = [0, [] as number[]];
    for (let part = 0; part < accumulate; part++) {
      const rows = this.#order.at((update * accumulate + part) * batch, batch);
      const passed = await this.#pass(
        rows.map((row) => this.examples[row]!),
        update >= dropWorstAfter ? dropWorst : 0,
        signal,
      );
      tokens += passed.tokens;
      loss += passed.loss;
      layers = passed.layers.map((sum, i) => sum + (layers[i] ?? 0));
    }
    const norm = parameters.scale(1 / tokens);
    const learningRate = learningRateAt(update, this.settings);
    if (Number.isFinite(norm) && Number.isFinite(loss)) {
      if (clip > 0 && norm > clip) parameters.scale(clip / (norm + 1e-6));
      this.#adam.update(parameters.values, parameters.gradients, learningRate);
      parameters.write();
      this.#skippedInARow = 0;
    } else {
      this.#skipped++;
      this.#skippedInARow++;
    }
    this.#update++;
    if (this.#skippedInARow >= MOST_SKIPPED)
      throw new InputError('training-diverged', `${MOST_SKIPPED} updates in a row gave no finite loss`, {
        hint: 'Train with a smaller --learning-rate, or look for damaged rows.',
      });
    return {
      update: this.#update,
      epoch: (this.#update * batch * accumulate) / this.examples.length,
      loss: loss / tokens,
      layers: layers.map((sum) => sum / tokens),
      learningRate,
      norm,
      tokens,
      skipped: this.#skipped,
      ms: performance.now() - start,
    };
  }

  /** Forward and backward once; the gradients are added to the others. @returns sums over tokens */
  async #pass(
    examples: readonly E[],
    dropWorst: number,
    signal: AbortSignal | undefined,
  ): Promise<{readonly loss: number; readonly layers: readonly number[]; readonly tokens: number}> {
    const {recipe, labelSmoothing} = this.settings;
    const {model} = this;
    const encode = await this.encoderOf(examples);
    await yieldToEventLoop(signal);
    const rows = (of: (example: E) => readonly number[]): (readonly number[])[] => examples.map(of);
    const inputs = rows(({inputs}) => inputs);
    const batch = {
      inputs,
      targets: rows(({targets}) => targets),
      // One example with a list restricts the batch: the others are allowed every word.
      allowed: examples.every(({allowed}) => allowed) ? examples.map(({allowed}) => allowed!) : undefined,
      confidences: examples.some(({confidence}) => confidence !== 1)
        ? examples.map(({confidence}) => confidence)
        : undefined,
    };
    let tokens = 0;
    let perLayer: tf.Tensor | undefined;
    const {value, grads} = tf.variableGrads(() => {
      const states = model.everyState(encode(), inputs);
      const options = {labelSmoothing, dropWorst, layers: recipe === 'mue' ? 'every' : 'last'} as const;
      const losses = taskLosses(model, states, batch, options);
      tokens = losses.sampleSize;
      perLayer = tf.keep(tf.stack(losses.perLayer.map(({nllLoss}) => nllLoss)));
      return losses.loss;
    }, this.parameters.variables);
    try {
      const [loss, layers] = [await value.data(), await perLayer!.data()];
      await this.parameters.add(grads);
      return {loss: loss[0]!, layers: [...layers], tokens};
    } finally {
      tf.dispose([value, grads, perLayer!]);
    }
  }
}

/** @throws UsageError `setting-invalid` */
export function checkSettings(settings: TrainingSettings): void {
  const fail = (name: keyof TrainingSettings, wanted: string): never => {
    throw new UsageError('setting-invalid', `${name} must be ${wanted}, not ${String(settings[name])}`);
  };
  for (const name of ['updates', 'batch', 'accumulate'] as const)
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 1) fail(name, 'a whole number from 1');
  for (const name of ['warmup', 'dropWorstAfter', 'seed'] as const)
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 0) fail(name, 'a whole number from 0');
  const within = (name: 'learningRate' | 'clip' | 'decay' | 'labelSmoothing' | 'dropWorst', most: number): void => {
    if (!(settings[name] >= 0 && settings[name] < most)) fail(name, `from 0 to below ${most}`);
  };
  within('learningRate', 1);
  within('clip', Number.POSITIVE_INFINITY);
  within('decay', 1000);
  within('labelSmoothing', 1);
  within('dropWorst', 1);
  if (!settings.betas.every((beta) => beta >= 0 && beta < 1)) fail('betas', 'from 0 to below 1');
  if (!RECIPES.includes(settings.recipe)) fail('recipe', RECIPES.join(' or '));
  if (!SCHEDULES.includes(settings.schedule)) fail('schedule', SCHEDULES.join(', '));
}
