import type {ExitSide} from '../../exit/policies/threshold.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {
  type ByStack,
  cellCount,
  cellsOf,
  fullDepth,
  lastStack,
  mapStacks,
  type RecordedStacks,
  stacksBefore,
  weightedLayers,
} from '../stacks.js';
import {bestSoFar, firstExit, rankThresholds, runRanked} from './exit-layers.js';

// n items, C combinations of depths (cells, numbered as in stacks.ts)

/** Recording of a single-step task (entailment): every item at every combination of depths. Borrowed, never changed. */
export interface ReplayData {
  readonly n: number;
  readonly stacks: RecordedStacks;
  /**
   * Score after each layer: of a stack before the last [n × depth], of the last, behind every combination, [n × C].
   * A score of a stack's last layer decides nothing and may be NaN.
   */
  readonly scores: ByStack<Float32Array>;
  /** Answer at each combination, as a class index, [n × C]. */
  readonly predictions: Uint8Array;
  /** Right answers [n]. */
  readonly labels: Uint8Array;
  /** Costs by name ('macs', 'ms'), [n × C], or [C] where all items cost alike. */
  readonly costs?: Readonly<Record<string, Float32Array | Float64Array>>;
}

/** Default 'above' for each stack. */
export type ReplayRules = ByStack<ExitSide>;

/** Results of one setting, item by item; arrays [n]. */
export interface ItemOutcomes {
  readonly layers: ByStack<Uint8Array>;
  readonly predictions: Uint8Array;
  /** 1 where the answer is right. */
  readonly correct: Uint8Array;
  /** 1 where the answer is that of full depth. */
  readonly agrees: Uint8Array;
  readonly costs: Readonly<Record<string, Float64Array>>;
}

/** Means over items; arrays have an entry for each setting. */
export interface SweepTable {
  readonly accuracy: Float64Array;
  /** Fraction of items with the answer of full depth. */
  readonly agreement: Float64Array;
  readonly layers: ByStack<Float64Array>;
  /** Layers saved, 1 − (layers as they are counted) / (those of full depth). */
  readonly etr: Float64Array;
  readonly costs: Readonly<Record<string, Float64Array>>;
}

/** A table of zeros. */
export function emptyTable(stacks: RecordedStacks, settings: number, costs: readonly string[]): SweepTable {
  const column = (): Float64Array => new Float64Array(settings);
  return {
    accuracy: column(),
    agreement: column(),
    layers: mapStacks(stacks, column),
    etr: column(),
    costs: Object.fromEntries(costs.map((name) => [name, column()])),
  };
}

/** Fraction of the layers saved, 1 − run / full depth, as layers are counted. */
export function layersSaved(stacks: RecordedStacks, layers: ByStack<number>): number {
  return 1 - weightedLayers(stacks, layers) / weightedLayers(stacks, fullDepth(stacks));
}

/**
 * Replays thresholds on a recording: exact for single-step tasks, since all answers are there. A stack exits at the
 * first layer whose score passes the threshold, else it runs to the end. Scores are float32 and thresholds doubles,
 * compared as such, as a policy does that reads a score from a tensor. A threshold of NaN never exits.
 */
export class ThresholdReplay {
  /** Comparison of the scores of each stack: `best` has the sign that makes "greater" mean "exit". */
  readonly #rules: ByStack<{readonly sign: 1 | -1; readonly strict: boolean; readonly best: Float32Array}>;
  /** Answers at full depth [n]. */
  readonly #full: Uint8Array;
  readonly #cells: number;

  /** @throws InputError if an array has the wrong length, a score is NaN, or there are no items */
  constructor(
    readonly data: ReplayData,
    rules: ReplayRules = {},
  ) {
    const {n, stacks, scores, predictions, labels, costs = {}} = data;
    const cells = cellCount(stacks);
    this.#cells = cells;
    if (n === 0) throw new InputError('no-items', 'replay: the recording has no items; at least one is needed.');
    for (const own of stacks)
      checkLength(`${own.stack} scores`, scores[own.stack]!, n * (own === lastStack(stacks) ? cells : own.depth));
    checkLength('predictions', predictions, n * cells);
    checkLength('labels', labels, n);
    for (const [name, cost] of Object.entries(costs))
      if (cost.length !== cells) checkLength(`cost '${name}'`, cost, n * cells);
    this.#rules = mapStacks(stacks, (stack, depth) => {
      const rule = rules[stack] ?? 'above';
      const sign = rule === 'above' || rule === 'at-least' ? 1 : -1;
      const strict = rule === 'above' || rule === 'below';
      return {sign, strict, best: bestSoFar(stack, scores[stack]!, depth, sign)};
    });
    this.#full = Uint8Array.from({length: n}, (_, i) => predictions[(i + 1) * cells - 1]!);
  }

  /** Means of many settings. @param thresholds by stack, of each setting */
  sweep(thresholds: readonly ByStack<number>[]): SweepTable {
    const settings = thresholds.length;
    const {n, stacks, predictions, labels} = this.data;
    const last = lastStack(stacks);
    const costs = this.#costTables();
    const table = emptyTable(
      stacks,
      settings,
      costs.map(({name}) => name),
    );
    const signed = mapStacks(stacks, (stack) =>
      Float64Array.from(thresholds, (setting) => this.#rules[stack]!.sign * setting[stack]!),
    );
    const ranked = stacksBefore(stacks).map(({stack, depth}) => {
      const {best, strict} = this.#rules[stack]!;
      return {...rankThresholds(signed[stack]!), stack, depth, best, strict};
    });
    const {best, strict} = this.#rules[last.stack]!;
    const lastThresholds = signed[last.stack]!;
    const lastLayers = table.layers[last.stack]!;
    const cells = new Int32Array(settings);
    // Item by item: all that one item has fits the fastest cache, while the settings stream by.
    for (let i = 0; i < n; i++) {
      const start = i * this.#cells;
      const [label, full] = [labels[i]!, this.#full[i]!];
      cells.fill(0);
      for (const own of ranked) {
        runRanked(own, own.best, i * own.depth, own.depth, own.strict);
        for (let s = 0; s < settings; s++) cells[s] = cells[s]! * own.depth + own.layers[own.rank[s]!]! - 1;
      }
      for (let s = 0; s < settings; s++) {
        const first = cells[s]! * last.depth;
        const layer = firstExit(best, start + first, last.depth - 1, lastThresholds[s]!, strict);
        lastLayers[s]! += layer + 1;
        cells[s] = first + layer;
      }
      const {accuracy, agreement} = table;
      for (let s = 0; s < settings; s++) {
        const prediction = predictions[start + cells[s]!]!;
        if (prediction === label) accuracy[s]!++;
        if (prediction === full) agreement[s]!++;
      }
      for (const {name, values, stride} of costs) {
        const sums = table.costs[name]!;
        const from = i * stride;
        for (let s = 0; s < settings; s++) sums[s]! += values[from + cells[s]!]!;
      }
    }
    for (const {stack, rank, sums} of ranked)
      for (let s = 0; s < settings; s++) table.layers[stack]![s] = sums[rank[s]!]!;
    const columns = [
      table.accuracy,
      table.agreement,
      ...Object.values(table.layers),
      ...costs.map(({name}) => table.costs[name]!),
    ];
    for (const column of columns) for (let s = 0; s < settings; s++) column[s]! /= n;
    for (let s = 0; s < settings; s++)
      table.etr[s] = layersSaved(
        stacks,
        mapStacks(stacks, (stack) => table.layers[stack]![s]!),
      );
    return table;
  }

  /** Item by item, for one setting: what losses, bootstraps and histograms are made of. */
  outcomes(thresholds: ByStack<number>): ItemOutcomes {
    const {n, stacks} = this.data;
    const layers = mapStacks(stacks, () => new Uint8Array(n));
    // Rows of scores: of the last stack an item has one for every combination of the others.
    const rows = Int32Array.from({length: n}, (_, i) => i);
    for (const [k, {stack, depth}] of stacks.entries()) {
      const {best, sign, strict} = this.#rules[stack]!;
      const [threshold, own, last] = [sign * thresholds[stack]!, layers[stack]!, k === stacks.length - 1];
      for (let i = 0; i < n; i++) {
        const layer = firstExit(best, (last ? rows[i]! : i) * depth, depth - 1, threshold, strict);
        own[i] = layer + 1;
        rows[i] = rows[i]! * depth + layer;
      }
    }
    return this.at(layers);
  }

  /** Item by item, with the same layers for all: the fixed-depth baseline. @param layers from 1 */
  fixed(layers: ByStack<number>): ItemOutcomes {
    const {n, stacks} = this.data;
    for (const {stack, depth} of stacks) {
      const wanted = layers[stack]!;
      if (!(Number.isInteger(wanted) && wanted >= 1 && wanted <= depth))
        throw new UsageError('depth', `replay: ${stack} depth ${wanted}; 1 to ${depth} was recorded.`);
    }
    return this.at(mapStacks(stacks, (stack) => new Uint8Array(n).fill(layers[stack]!)));
  }

  /** Item by item, with layers given for each, from 1 [n]: what policies do that are no threshold, and oracles. */
  at(layers: ByStack<Uint8Array>): ItemOutcomes {
    const {n, stacks, predictions, labels} = this.data;
    const [answers, correct, agrees] = [new Uint8Array(n), new Uint8Array(n), new Uint8Array(n)];
    const cells = cellsOf(stacks, layers);
    for (let i = 0; i < n; i++) {
      const prediction = predictions[i * this.#cells + cells[i]!]!;
      answers[i] = prediction;
      correct[i] = prediction === labels[i]! ? 1 : 0;
      agrees[i] = prediction === this.#full[i]! ? 1 : 0;
    }
    const costs = this.#costTables().map(({name, values, stride}) => {
      const column = new Float64Array(n);
      for (let i = 0; i < n; i++) column[i] = values[i * stride + cells[i]!]!;
      return [name, column] as const;
    });
    return {layers, predictions: answers, correct, agrees, costs: Object.fromEntries(costs)};
  }

  #costTables(): {
    readonly name: string;
    readonly values: Float32Array | Float64Array;
    readonly stride: number;
  }[] {
    const {n, costs = {}} = this.data;
    // A table for all items, or one for each (of a single item they are equal).
    return Object.entries(costs).map(([name, values]) => ({
      name,
      values,
      stride: values.length === n * this.#cells ? this.#cells : 0,
    }));
  }
}

function checkLength(what: string, array: ArrayLike<number>, wanted: number): void {
  if (array.length !== wanted)
    throw new InputError(
      'recording-shape',
      `replay: ${what} has ${array.length} numbers; the depths ask for ${wanted}.`,
    );
}
