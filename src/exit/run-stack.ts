import * as tf from '@tensorflow/tfjs';
import {gatherRows} from '../nn/gather-rows.js';
import {checkArguments, COUNT, fields, FUNCTION, OBJECT, TEXT} from '../runtime/check-arguments.js';
import {TENSOR} from '../runtime/check-tensors.js';
import {UsageError} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import {yieldToEventLoop} from '../runtime/yield.js';
import {type ExitPolicy, type Observation, POLICY, type Position} from './policy.js';
import type {StackPass, StackTrace} from './trace.js';

// U units, B rows in all (B / U consecutive rows a unit, in order), T positions, D width, V words.
// A unit is called by its number 0 … U − 1 everywhere; only `active` lists, ascending, those that are still running.

/** A unit that exits independently: one image with all its beams, one token of a prefix, or the whole batch. */
export interface ExitUnit {
  readonly policy: ExitPolicy;
  /**
   * Selects the part of a state of this unit's rows that the policy looks at (beams with a finite score, no padding).
   * Its result is disposed here. The whole state by default.
   */
  readonly view?: (x: tf.Tensor3D) => tf.Tensor3D;
  /** Next-token logits for a state of this unit's rows after `layer` layers, where only some of the rows count. */
  readonly logits?: (x: tf.Tensor3D, layer: number) => tf.Tensor2D;
  /** Decoding step, where units are at different ones. */
  readonly step?: number;
  /** An earlier pass that this one goes on with, from the layer after its exit: one and the same for all units. */
  readonly begun?: UnitPass;
}

/** The units that still run when a layer is called. */
export interface ActiveUnits {
  /** Their numbers, ascending. */
  readonly indices: readonly number[];
  /** U, those that have left included. */
  readonly total: number;
  /**
   * States [B, T, D] of every unit before the layer; rows of a unit that left keep its exit state. Borrowed during the
   * layer; put together when it is asked for.
   */
  readonly states: tf.Tensor3D;
}

/**
 * One layer of a stack.
 * @param x       states of the active units' rows, borrowed
 * @param layer   from 0
 * @returns       their next states, which the stack runner owns
 */
export type RunLayer = (x: tf.Tensor3D, layer: number, active: ActiveUnits) => tf.Tensor3D;

/** A stack of layers as a pass runs it: its name and depth, and the decoding step. */
export type StackPosition = Omit<Position, 'layer'>;

/**
 * Next-token logits.
 * @param x        states of some units' rows, borrowed
 * @param units    their numbers
 * @param layers   how many layers each of them has run
 * @returns        equally many rows for each unit, the caller's
 */
export type UnitLogits = (x: tf.Tensor3D, units: readonly number[], layers: readonly number[]) => tf.Tensor2D;

export interface RunStackOptions {
  /** Called only if a policy asks for logits. */
  readonly logits?: UnitLogits;
  readonly signal?: AbortSignal;
}

/** One unit's pass through the stack. */
export interface UnitPass extends StackPass {
  readonly trace: StackTrace;
  /** Next-token logits of its last state, where its last exit test computed them for all its rows; the caller's. */
  readonly logits?: tf.Tensor2D;
}

/**
 * Runs a stack in which the whole batch exits at once.
 * @param x   [B, T, D], borrowed
 * @returns   the exit state, the caller's, and the trace
 */
export async function runStack(
  x: tf.Tensor3D,
  forward: (x: tf.Tensor3D, layer: number) => tf.Tensor3D,
  stack: StackPosition,
  policy: ExitPolicy,
  options: RunStackOptions = {},
): Promise<{x: tf.Tensor3D; trace: StackTrace}> {
  checkArguments('runStack', {
    x: [x, TENSOR],
    forward: [forward, FUNCTION],
    stack: [stack, fields({stack: TEXT, depth: COUNT})],
    policy: [policy, POLICY],
    options: [options, OBJECT],
  });
  const {x: exitState, passes} = await runStackBatched(x, forward, stack, [{policy}], options);
  passes[0]!.logits?.dispose();
  return {x: exitState, trace: passes[0]!.trace};
}

/**
 * Runs layers until the policy of every unit says exit. This is the one place where an exit is taken: the layer that
 * triggered it has run, its output is the unit's result, and no layer above it runs for this unit. A unit whose policy
 * skips the stack keeps its rows as they are. Units that are `begun` go on where an earlier pass left.
 * @param x   states that the first layer to run is given, [B, T, D], borrowed; B is a multiple of the number of units
 * @returns   the exit states of all rows [B, T, D], the caller's, and what each unit did
 * @throws    AbortError between layers if the signal fires; UsageError if a policy asks for logits that the stack lacks
 */
export async function runStackBatched(
  x: tf.Tensor3D,
  forward: RunLayer,
  stack: StackPosition,
  units: readonly ExitUnit[],
  options: RunStackOptions = {},
): Promise<{x: tf.Tensor3D; passes: readonly UnitPass[]}> {
  using scope = new TensorScope();
  const traces = units.map((unit) => new TraceBuilder(unit, stack));
  const all = units.map((_, unit) => unit);
  const left: UnitStates[] = [];
  const partOf = (states: tf.Tensor3D, units: readonly number[], some: readonly number[]): tf.Tensor3D =>
    some.length === units.length ? states : scope.hold(filterRows(states, units, some));
  let active: readonly number[] = all.filter((unit) => !traces[unit]!.skip());
  const skipping = all.filter((unit) => !active.includes(unit));
  if (skipping.length > 0) left.push({units: skipping, states: partOf(x, all, skipping)});
  let activeStates = active.length > 0 ? partOf(x, all, active) : x;
  const ran = units[0]?.begun?.trace.exitLayer ?? 0;
  for (let layer = ran + 1; layer <= stack.depth && active.length > 0; layer++) {
    await yieldToEventLoop(options.signal);
    const before = {units: active, states: activeStates};
    let whole: tf.Tensor3D | undefined;
    const output = scope.hold(
      forward(activeStates, layer - 1, {
        indices: active,
        total: units.length,
        get states() {
          whole ??= left.length === 0 ? before.states : scope.hold(tf.keep(inOrder([...left, before])));
          return whole;
        },
      }),
    );
    if (whole && whole !== before.states) scope.drop(whole);
    const decisions = await decide(traces, active, activeStates, output, layer, options, scope);
    const staying: number[] = [];
    for (const [i, unit] of active.entries()) {
      const {observation, logitsComputed, logits} = decisions[i]!;
      traces[unit]!.add(observation, logitsComputed);
      if (observation.exit || layer === stack.depth) traces[unit]!.logits = logits;
      else {
        if (logits) scope.drop(logits);
        staying.push(unit);
      }
    }
    if (activeStates !== x) scope.drop(activeStates);
    activeStates = staying.length > 0 ? partOf(output, active, staying) : output;
    const leaving = active.filter((unit) => !staying.includes(unit));
    if (leaving.length > 0) left.push({units: leaving, states: partOf(output, active, leaving)});
    if (leaving.length > 0 && staying.length > 0) scope.drop(output);
    active = staying;
  }
  for (const {logits} of traces) if (logits) scope.give(logits);
  const states = left.length === 1 ? left[0]!.states : scope.hold(inOrder(left));
  return {x: states === x ? tf.clone(x) : scope.give(states), passes: traces.map((trace) => trace.build())};
}

/** States of some units [rows, T, D], in the order of the units. */
interface UnitStates {
  readonly units: readonly number[];
  readonly states: tf.Tensor3D;
}

/** States of all units in order [B, T, D], the caller's. */
function inOrder(parts: readonly UnitStates[]): tf.Tensor3D {
  return tf.tidy(() => {
    const units = parts.flatMap((part) => part.units);
    const all = tf.concat(parts.map(({states}) => states));
    const places = units.map((_, unit) => units.indexOf(unit));
    return gatherRows(all, rowsOfUnits(places, all.shape[0] / units.length));
  });
}

/** Collects what happens to one unit. */
class TraceBuilder {
  readonly #position: StackPosition;
  readonly #scores: (number | null)[];
  readonly #thresholds: (number | null)[];
  #exited = false;
  readonly #logitsAt: number[];
  /** Logits of the last state [rows, V], where they are known. */
  logits: tf.Tensor2D | undefined;

  constructor(
    readonly unit: ExitUnit,
    stack: StackPosition,
  ) {
    this.#position = unit.step === undefined ? stack : {...stack, step: unit.step};
    this.#scores = [...(unit.begun?.trace.scores ?? [])];
    this.#thresholds = [...(unit.begun?.trace.thresholds ?? [])];
    this.#logitsAt = [...(unit.begun?.logitsAt ?? [])];
  }

  /** Whether the policy leaves before the first layer. */
  skip(): boolean {
    this.#exited = this.unit.policy.skips?.(this.#position.stack) ?? false;
    return this.#exited;
  }

  at(layer: number): Position {
    return {...this.#position, layer};
  }

  add({exit, score, threshold}: Observation, logitsComputed: boolean): void {
    this.#scores.push(score ?? null);
    this.#thresholds.push(threshold ?? null);
    this.#exited = exit;
    // A policy that only records (exit/recording.ts) gives no score: what it looks at is no cost of the answer.
    if (logitsComputed && score !== undefined) this.#logitsAt.push(this.#scores.length);
  }

  build(): UnitPass {
    const {stack, step, depth} = this.#position;
    const trace = {
      stack,
      ...(step === undefined ? {} : {step}),
      exitLayer: this.#scores.length,
      depth,
      exited: this.#exited,
      scores: this.#scores,
      thresholds: this.#thresholds,
    };
    return {trace, logitsAt: this.#logitsAt, logitsKnown: this.logits !== undefined, logits: this.logits};
  }
}

/** One active unit's decision after a layer. */
interface Decision {
  readonly observation: Observation;
  readonly logitsComputed: boolean;
  /** Next-token logits of the unit's state; absent where none were computed, or only for a subset of its rows. */
  readonly logits?: tf.Tensor2D;
}

/**
 * Asks the policies of the active units; once for all where they share a policy that can answer for several.
 * @param before  states of the active units' rows before the layer
 * @param after   and after it
 * @param owner   gets the logits of the decisions
 * @returns       a decision for each active unit
 */
async function decide(
  traces: readonly TraceBuilder[],
  active: readonly number[],
  before: tf.Tensor3D,
  after: tf.Tensor3D,
  layer: number,
  {logits}: RunStackOptions,
  owner: TensorScope,
): Promise<readonly Decision[]> {
  using scope = new TensorScope();
  const asking = active.map((unit) => traces[unit]!);
  const positions = asking.map((trace) => trace.at(layer));
  const count = active.length;
  const logitsOf = ({name}: ExitPolicy, x: tf.Tensor3D, units: readonly number[]): tf.Tensor2D => {
    if (logits)
      return logits(
        x,
        units,
        units.map(() => layer),
      );
    throw new UsageError(
      'plan-logits',
      `the policy '${name}' looks at word scores, but the stack '${positions[0]!.stack}' has none`,
      {hint: 'Use it for the decoder alone.'},
    );
  };

  // Logits are kept: a policy may ask for them inside a tidy of its own, which they outlive.
  const {policy} = asking[0]!.unit;
  if (count > 1 && policy.observeEach && asking.every(({unit}) => unit.policy === policy && !unit.view)) {
    let computed: tf.Tensor2D | undefined;
    const observations = await policy.observeEach(before, after, positions, () => {
      computed ??= scope.hold(tf.keep(logitsOf(policy, after, active)));
      return computed;
    });
    return observations.map((observation, i) => ({
      observation,
      logitsComputed: computed !== undefined,
      logits: computed && owner.hold(rowsOfUnit(computed, i, count)),
    }));
  }

  const decisions: Decision[] = [];
  for (const [i, {unit}] of asking.entries()) {
    const whole = (x: tf.Tensor3D): tf.Tensor3D => (count === 1 ? x : scope.hold(rowsOfUnit(x, i, count)));
    const view = (x: tf.Tensor3D): tf.Tensor3D => (unit.view ? scope.hold(unit.view(whole(x))) : whole(x));
    let computed: tf.Tensor2D | undefined;
    const observation = await unit.policy.observe(view(before), view(after), positions[i]!, () => {
      computed ??= unit.logits
        ? scope.hold(tf.keep(unit.logits(whole(after), layer)))
        : owner.hold(tf.keep(logitsOf(unit.policy, whole(after), [active[i]!])));
      return computed;
    });
    decisions.push({observation, logitsComputed: computed !== undefined, logits: unit.logits ? undefined : computed});
  }
  return decisions;
}

/**
 * Next-token logits of the exit states: those that the last exit tests computed, and the rest computed now.
 * @param x        exit states of all units [B, T, D], borrowed
 * @param passes   their logits are disposed or given on
 * @returns        equally many rows for each unit, in order; the caller's
 */
export function exitLogits(x: tf.Tensor3D, passes: readonly UnitPass[], logits: UnitLogits): tf.Tensor2D {
  const known = passes.flatMap((pass, unit) => (pass.logits ? [{unit, logits: pass.logits}] : []));
  const others = passes.flatMap((pass, unit) => (pass.logits ? [] : [unit]));
  const layers = others.map((unit) => passes[unit]!.trace.exitLayer);
  if (known.length === 0) return logits(x, others, layers);
  if (passes.length === 1) return known[0]!.logits;
  const result = tf.tidy(() => {
    const parts = known.map((unit) => unit.logits);
    if (others.length > 0)
      parts.push(logits(gatherRows(x, rowsOfUnits(others, x.shape[0] / passes.length)), others, layers));
    const order = [...known.map(({unit}) => unit), ...others];
    const all = tf.concat(parts);
    const places = passes.map((_, unit) => order.indexOf(unit));
    const sorted = order.every((unit, i) => unit === i);
    return sorted ? all : gatherRows(all, rowsOfUnits(places, all.shape[0] / passes.length));
  });
  for (const unit of known) unit.logits.dispose();
  return result;
}

/** Row numbers of some units. @param rows of each unit */
export function rowsOfUnits(units: readonly number[], rows: number): number[] {
  return units.flatMap((unit) => Array.from({length: rows}, (_, row) => unit * rows + row));
}

/** Rows of the i-th of `count` units in x; the caller's. */
function rowsOfUnit<T extends tf.Tensor>(x: T, i: number, count: number): T {
  const rows = x.shape[0]! / count;
  const rest = x.shape.slice(1);
  return tf.slice(x, [i * rows, ...rest.map(() => 0)], [rows, ...rest]) as T;
}

/** Rows of the units `staying`, from x, which has those of `units`; the caller's. */
function filterRows(x: tf.Tensor3D, units: readonly number[], staying: readonly number[]): tf.Tensor3D {
  const places = staying.map((unit) => units.indexOf(unit));
  return gatherRows(x, rowsOfUnits(places, x.shape[0] / units.length));
}
