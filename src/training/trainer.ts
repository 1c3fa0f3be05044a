import {InputError, UsageError} from '../runtime/errors.js';
import {Adam, type AdamState} from './adam.js';
import type {Objective} from './objective.js';
import {TrainingOrder} from './order.js';
import {Parameters} from './parameters.js';
import {learningRateAt, SCHEDULES, type RateSchedule} from './schedule.js';

/** How a training goes, whatever it learns. */
export interface LoopSettings {
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
  /** Decoupled decay of all weights that the objective lets decay. */
  readonly decay: number;
  readonly betas: readonly [number, number];
  /** Adam's; 1e-8 by default. */
  readonly epsilon?: number;
  /** Patterns of the names of weights that stay as they are. */
  readonly freeze: readonly string[];
  readonly seed: number;
}

/** One update. */
export interface TrainingStep {
  /** Counted from 1. */
  readonly update: number;
  readonly epoch: number;
  /** Divided by the sample size: nats a token, summed over the layers that are learnt from. */
  readonly loss: number;
  /** The same for each part of it: the layers, without smoothing. */
  readonly layers: readonly number[];
  /** The same for the terms of a loss that has some. */
  readonly terms?: Readonly<Record<string, number>>;
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

/** Updates in a row without a finite loss, after which training ends. */
const MOST_SKIPPED = 10;

/**
 * Trains the weights of a model in place, an update at a time. Whoever computes with the model afterwards calls its
 * `weightsChanged`.
 */
export class TrainingLoop<E> {
  readonly parameters: Parameters;
  readonly #adam: Adam;
  readonly #order: TrainingOrder;
  #update = 0;
  #skipped = 0;
  #skippedInARow = 0;

  /**
   * @param objective   borrowed
   * @param examples    at least one
   * @throws UsageError for settings that cannot be
   */
  constructor(
    private readonly objective: Objective<E>,
    private readonly examples: readonly E[],
    private readonly settings: LoopSettings,
  ) {
    checkSettings(settings);
    this.parameters = new Parameters(objective.module, settings.freeze);
    const {values, weights} = this.parameters;
    const {betas, epsilon, decay} = settings;
    this.#adam = new Adam(
      values.map(({length}) => length),
      {betas, epsilon, decay: weights.map((weight) => (objective.decays?.(weight) === false ? 0 : decay))},
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
    const {batch, accumulate, clip} = this.settings;
    const start = performance.now();
    const update = this.#update;
    const {parameters} = this;
    parameters.clear();
    const place = update * accumulate * batch;
    const passes = Array.from({length: accumulate}, (_, part) =>
      this.#order.at(place + part * batch, batch).map((row) => this.examples[row]!),
    );
    const {loss, layers, terms, sampleSize, tokens} = await this.objective.gradients(passes, {
      update,
      place,
      variables: parameters.variables,
      add: (gradients) => parameters.add(gradients),
      signal,
    });
    const norm = parameters.scale(1 / sampleSize);
    const learningRate = learningRateAt(update, this.settings);
    if (Number.isFinite(norm) && Number.isFinite(loss)) {
      if (clip > 0 && norm > clip) parameters.scale(clip / (norm + 1e-6));
      this.#adam.update(parameters.values, parameters.gradients, learningRate);
      if (this.objective.bounds) parameters.clamp(this.objective.bounds);
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
      loss: loss / sampleSize,
      layers: layers.map((sum) => sum / sampleSize),
      ...(terms && {terms: Object.fromEntries(Object.entries(terms).map(([name, sum]) => [name, sum / sampleSize]))}),
      learningRate,
      norm,
      tokens,
      skipped: this.#skipped,
      ms: performance.now() - start,
    };
  }
}

/** @throws UsageError `setting-invalid` */
export function checkSettings(settings: LoopSettings): void {
  const fail = (name: keyof LoopSettings, wanted: string): never => {
    throw new UsageError('setting-invalid', `${name} must be ${wanted}, not ${String(settings[name])}`);
  };
  for (const name of ['updates', 'batch', 'accumulate'] as const)
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 1) fail(name, 'a whole number from 1');
  for (const name of ['warmup', 'seed'] as const)
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 0) fail(name, 'a whole number from 0');
  const within = (name: 'learningRate' | 'clip' | 'decay', most: number): void => {
    if (!(settings[name] >= 0 && settings[name] < most)) fail(name, `from 0 to below ${most}`);
  };
  within('learningRate', 1);
  within('clip', Number.POSITIVE_INFINITY);
  within('decay', 1000);
  if (!settings.betas.every((beta) => beta >= 0 && beta < 1)) fail('betas', 'from 0 to below 1');
  if (!SCHEDULES.includes(settings.schedule)) fail('schedule', SCHEDULES.join(', '));
}
