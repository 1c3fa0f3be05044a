import * as tf from '@tensorflow/tfjs';
import {gatherRows} from '../nn/gather-rows.js';
import {yieldToEventLoop} from '../runtime/yield.js';
import {UsageError} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {ExitPolicy, Observation, Position} from './policy.js';
import type {StackTrace} from './trace.js';

/**
 * Word scores of the last states: those that the last decisions computed, and the others.
 * @param x states of all samples [B, T, D], borrowed
 * @param runs their scores are disposed or given on
 * @returns as many rows for each sample, in order; the caller's
 */
export function exitLogits(
  x: tf.Tensor3D,
  runs: readonly UnitPass[],
  logits: (x: tf.Tensor3D, samples: readonly number[]) => tf.Tensor2D,
): tf.Tensor2D {
  const known = runs.flatMap(({logits: words}, s) => (words ? [{s, words}] : []));
  const others = runs.flatMap(({logits: words}, s) => (words ? [] : [s]));
  if (known.length === 0) return logits(x, others);
  if (runs.length === 1) return known[0]!.words;
  const result = tf.tidy(() => {
    const parts: tf.Tensor2D[] = known.map(({words}) => words);
    if (others.length > 0) parts.push(logits(gatherRows(x, rowsOfUnits(others, x.shape[0] / runs.length)), others));
    const order = [...known.map(({s}) => s), ...others];
    const all = tf.concat(parts);
    const places = runs.map((_, s) => order.indexOf(s));
    return order.every((s, i) => s === i) ? all : gatherRows(all, rowsOfUnits(places, all.shape[0] / runs.length));
  });
  for (const {words} of known) words.dispose();
  return result;
}

// Rows of samples in a tensor's leading axis, of which every sample has as many, in order.

/** The rows of the i-th of `samples` samples; the caller's. */
export function sampleRows<T extends tf.Tensor>(x: T, i: number, samples: number): T {
  const rows = x.shape[0]! / samples;
  const rest = x.shape.slice(1);
  return tf.slice(x, [i * rows, ...rest.map(() => 0)], [rows, ...rest]) as T;
}

/** Indices of the rows of some samples. @param rows of each */
export function rowsOfUnits(samples: readonly number[], rows: number): number[] {
  return samples.flatMap((s) => Array.from({length: rows}, (_, r) => s * rows + r));
}

/** Of the samples that are in x, those in `stay`; the caller's. */
export function keepRows(x: tf.Tensor3D, samples: readonly number[], stay: readonly number[]): tf.Tensor3D {
  const places = stay.map((s) => samples.indexOf(s));
  return gatherRows(x, rowsOfUnits(places, x.shape[0] / samples.length));
}

/** x with the rows of some samples replaced. @param count of samples in x. @returns [B, T, D], the caller's */
export function putRows(x: tf.Tensor3D, rows: tf.Tensor3D, samples: readonly number[], count: number): tf.Tensor3D {
  return tf.tidy(() => {
    const size = x.shape[0] / count;
    const from = x.shape[0];
    const places = Array.from({length: count}, (_, s) => {
      const at = samples.indexOf(s);
      return Array.from({length: size}, (_row, r) => (at < 0 ? s * size + r : from + at * size + r));
    });
    return gatherRows(tf.concat([x, rows]), places.flat());
  });
}

// B rows, of which every sample has as many, T positions, D width

/** What decides for itself: a picture with its beams, one token of a prefix, or everything at once. */
export interface ExitUnit {
  readonly policy: ExitPolicy;
  /** The part of a state of its rows that counts for the decision (finite-score beams, no padding); disposed here. All by default. */
  readonly view?: ((x: tf.Tensor3D) => tf.Tensor3D) | undefined;
  /** Scores of the next word for a state of its rows, where not all of them count. */
  readonly logits?: (x: tf.Tensor3D) => tf.Tensor2D;
  /** Decoding step, where samples are at several. */
  readonly step?: number;
}

/** Who is still in the stack. */
export interface ActiveUnits {
  /** Samples that have not left, ascending. */
  readonly indices: readonly number[];
  /** How many there were. */
  readonly total: number;
  /** All rows [B, T, D], those of samples that have left as they left; borrowed. */
  readonly states: tf.Tensor3D;
}

/** One layer, counted from 0. @param x rows of the running samples, borrowed. @returns their next states, which become owned by the caller */
export type RunLayer = (x: tf.Tensor3D, layer: number, running: ActiveUnits) => tf.Tensor3D;

export interface RunStackOptions {
  /** Scores of the next word for states of some samples; called only if a policy asks. */
  readonly logits?: (x: tf.Tensor3D, samples: readonly number[]) => tf.Tensor2D;
  readonly signal?: AbortSignal | undefined;
}

/** What one sample did. */
export interface UnitPass {
  readonly trace: StackTrace;
  /** Decisions that computed word scores, which cost as much as layers. */
  readonly asked: number;
  /** The word scores of its last state, where the last decision computed them; the caller's. */
  readonly logits?: tf.Tensor2D;
}

/** Everything decides as one. @returns the last state, the caller's, and what happened */
export async function runStack(
  x: tf.Tensor3D,
  forward: (x: tf.Tensor3D, layer: number) => tf.Tensor3D,
  stack: Omit<Position, 'layer'>,
  policy: ExitPolicy,
  options: RunStackOptions = {},
): Promise<{x: tf.Tensor3D; trace: StackTrace}> {
  const {x: last, runs} = await runStackBatched(x, forward, stack, [{policy}], options);
  runs[0]!.logits?.dispose();
  return {x: last, trace: runs[0]!.trace};
}

/**
 * Runs layers until the policy of every sample says exit. The one place where an exit is taken: the layer that triggered it
 * has run, its output is the sample's result, the layers above it do not run for this sample (ofa_mue section 10.4).
 *
 * @param x state [B, T, D], borrowed
 * @returns the last states of all rows, the caller's, and what each sample did
 */
export async function runStackBatched(
  x: tf.Tensor3D,
  forward: RunLayer,
  stack: Omit<Position, 'layer'>,
  samples: readonly ExitUnit[],
  options: RunStackOptions = {},
): Promise<{x: tf.Tensor3D; runs: readonly UnitPass[]}> {
  using scope = new TensorScope();
  const logs = samples.map((sample) => new Log(sample, stack));
  let running = samples.map((_, s) => s);
  let all = x; // of every sample
  let before = x; // of the running ones
  for (let layer = 1; layer <= stack.depth && running.length > 0; layer++) {
    await yieldToEventLoop(options.signal);
    const after = scope.hold(forward(before, layer - 1, {indices: running, total: samples.length, states: all}));
    const next = running.length === samples.length ? after : scope.hold(putRows(all, after, running, samples.length));
    const stay: number[] = [];
    for (const [i, {seen, asked, words}] of (
      await observe(logs, running, before, after, layer, options, scope)
    ).entries()) {
      const log = logs[running[i]!]!;
      log.add(seen, asked);
      if (seen.exit || layer === stack.depth) log.words = words;
      else {
        if (words) scope.drop(words);
        stay.push(running[i]!);
      }
    }
    const kept =
      stay.length === running.length || stay.length === 0 ? after : scope.hold(keepRows(after, running, stay));
    for (const old of new Set([all, before, after])) if (old !== x && old !== next && old !== kept) scope.drop(old);
    [all, before, running] = [next, kept, stay];
  }
  for (const {words} of logs) if (words) scope.give(words);
  return {x: scope.give(all), runs: logs.map((log) => log.run())};
}

/** What happened to one sample so far. */
class Log {
  readonly #scores: (number | null)[] = [];
  readonly #thresholds: (number | null)[] = [];
  readonly #at: Omit<Position, 'layer'>;
  #exited = false;
  #asked = 0;
  /** Word scores of its last state. */
  words: tf.Tensor2D | undefined;

  constructor(
    readonly sample: ExitUnit,
    stack: Omit<Position, 'layer'>,
  ) {
    this.#at = sample.step === undefined ? stack : {...stack, step: sample.step};
  }

  at(layer: number): Position {
    return {...this.#at, layer};
  }

  add({exit, score, threshold}: Observation, asked: boolean): void {
    this.#scores.push(score ?? null);
    this.#thresholds.push(threshold ?? null);
    this.#exited = exit;
    // What only watches (a recording) gives no score: its looking is no part of the answer.
    if (asked && score !== undefined) this.#asked++;
  }

  run(): UnitPass {
    const {stack, step, depth} = this.#at;
    const trace = {
      stack,
      ...(step === undefined ? {} : {step}),
      exitLayer: this.#scores.length,
      depth,
      exited: this.#exited,
      scores: this.#scores,
      thresholds: this.#thresholds,
    };
    return {trace, asked: this.#asked, ...(this.words ? {logits: this.words} : {})};
  }
}

interface Observed {
  readonly seen: Observation;
  /** Whether word scores were computed. */
  readonly asked: boolean;
  /** They, where they are of all rows of the sample. */
  readonly words?: tf.Tensor2D | undefined;
}

/** A decision for each of the running samples, by one question where one policy can answer for all. `owner` gets the word scores. */
async function observe(
  logs: readonly Log[],
  running: readonly number[],
  before: tf.Tensor3D,
  after: tf.Tensor3D,
  layer: number,
  {logits}: RunStackOptions,
  owner: TensorScope,
): Promise<readonly Observed[]> {
  using scope = new TensorScope();
  const asking = running.map((s) => logs[s]!);
  const {policy} = asking[0]!.sample;
  const at = asking.map((log) => log.at(layer));
  const words = ({name}: ExitPolicy, x: tf.Tensor3D, of: readonly number[]): tf.Tensor2D => {
    if (logits) return logits(x, of);
    throw new UsageError(
      'plan-logits',
      `the policy '${name}' looks at word scores, but the stack '${at[0]!.stack}' has none`,
      {
        hint: 'Use it for the decoder alone.',
      },
    );
  };
  const count = running.length;
  if (count > 1 && policy.observeEach && asking.every(({sample}) => sample.policy === policy && !sample.view)) {
    let computed: tf.Tensor2D | undefined;
    const seen = await policy.observeEach(before, after, at, () => {
      computed ??= scope.hold(words(policy, after, running));
      return computed;
    });
    return seen.map((one, i) => ({
      seen: one,
      asked: computed !== undefined,
      words: computed && owner.hold(sampleRows(computed, i, count)),
    }));
  }
  const observed: Observed[] = [];
  for (const [i, {sample}] of asking.entries()) {
    const whole = (x: tf.Tensor3D): tf.Tensor3D => (count === 1 ? x : scope.hold(sampleRows(x, i, count)));
    const view = (x: tf.Tensor3D): tf.Tensor3D => (sample.view ? scope.hold(sample.view(whole(x))) : whole(x));
    let computed: tf.Tensor2D | undefined;
    const seen = await sample.policy.observe(view(before), view(after), at[i]!, () => {
      const {logits: own, policy} = sample;
      computed ??= own ? scope.hold(own(whole(after))) : owner.hold(words(policy, whole(after), [running[i]!]));
      return computed;
    });
    observed.push({seen, asked: computed !== undefined, words: sample.logits ? undefined : computed});
  }
  return observed;
}
