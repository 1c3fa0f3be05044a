import {InputError, UsageError} from '../../runtime/errors.js';
import {type LayerWeights, STREAM_WEIGHTS, weigh} from './layer-weights.js';
import {bestSoFar, findCells, firstExit, layersByRank, rankThresholds} from './exit-layers.js';

/** When a score lets a stack exit: similarity `above` a threshold, confidence `at-least`, entropy `at-most`, a distance `below`. */
export type ExitRule = 'above' | 'at-least' | 'at-most' | 'below';

/** One recording of a single-step task (entailment): every item at every combination of depths. Borrowed, never changed. */
export interface ReplayData {
  readonly n: number;
  readonly depths: {readonly image: number; readonly text: number; readonly decoder: number};
  /** How layers are counted; by default as those of two streams and a decoder. */
  readonly weights?: LayerWeights;
  /** Score after each image layer [n × image]. A score of the last layer decides nothing and may be NaN. */
  readonly image: Float32Array;
  /** Score after each text layer [n × text]. */
  readonly text: Float32Array;
  /** Score after each decoder layer behind an encoder cut at (image, text) [n × image × text × decoder]. */
  readonly decoder: Float32Array;
  /** Answer at each combination, as a class index; same shape. */
  readonly predictions: Uint8Array;
  /** Right answers [n]. */
  readonly labels: Uint8Array;
  /** Costs by name ('macs', 'ms'), in the shape of `predictions`, or [image × text × decoder] where all items cost alike. */
  readonly costs?: Readonly<Record<string, Float32Array | Float64Array>>;
}

/** One rule a stack; default 'above' for each. */
export type ReplayRules = Readonly<Partial<Record<'image' | 'text' | 'decoder', ExitRule>>>;

/** What one setting does to every item. */
export interface ItemOutcomes {
  readonly imageLayers: Uint8Array;
  readonly textLayers: Uint8Array;
  readonly decoderLayers: Uint8Array;
  readonly predictions: Uint8Array;
  /** 1 where the answer is right. */
  readonly correct: Uint8Array;
  /** 1 where the answer is that of full depth. */
  readonly agrees: Uint8Array;
  readonly costs: Readonly<Record<string, Float64Array>>;
}

/** Means over items, one entry a setting. */
export interface SweepTable {
  readonly accuracy: Float64Array;
  /** Share of items with the answer of full depth. */
  readonly agreement: Float64Array;
  readonly imageLayers: Float64Array;
  readonly textLayers: Float64Array;
  readonly decoderLayers: Float64Array;
  /** Layers saved, 1 − (layers as they are counted) / (the same at full depth). */
  readonly etr: Float64Array;
  readonly costs: Readonly<Record<string, Float64Array>>;
}

/** The columns of a SweepTable but the costs, all zero. */
export function meansTable(settings: number): Omit<SweepTable, 'costs'> {
  const column = (): Float64Array => new Float64Array(settings);
  return {
    accuracy: column(),
    agreement: column(),
    imageLayers: column(),
    textLayers: column(),
    decoderLayers: column(),
    etr: column(),
  };
}

type Stack = 'image' | 'text' | 'decoder';
const STACKS: readonly Stack[] = ['image', 'text', 'decoder'];

/**
 * Replays thresholds on a recording: exact for single-step tasks, since all answers are there. A stack exits at the first
 * layer whose score passes the threshold, else it runs to the end. Scores are float32 and thresholds doubles, compared as such,
 * as a policy does that reads a score from a tensor. A threshold of NaN never exits.
 */
export class ThresholdReplay {
  private readonly strict: Readonly<Record<Stack, boolean>>;
  private readonly sign: Readonly<Record<Stack, 1 | -1>>;
  /** Best score so far after each layer but the last, with the sign that makes "greater" mean "exit": the first exit is the same. */
  private readonly best: Readonly<Record<Stack, Float32Array>>;
  private readonly full: Uint8Array;
  private readonly grid: number;

  /** @throws InputError if an array has the wrong length, a score is NaN, or there are no items. */
  constructor(
    readonly data: ReplayData,
    rules: ReplayRules = {},
  ) {
    const {n, depths} = data;
    this.grid = depths.image * depths.text * depths.decoder;
    if (n === 0) throw new InputError('no-items', 'replay: the recording has no items; at least one is needed.');
    checkLength('image scores', data.image, n * depths.image);
    checkLength('text scores', data.text, n * depths.text);
    checkLength('decoder scores', data.decoder, n * this.grid);
    checkLength('predictions', data.predictions, n * this.grid);
    checkLength('labels', data.labels, n);
    for (const [name, cost] of Object.entries(data.costs ?? {}))
      if (cost.length !== this.grid) checkLength(`cost '${name}'`, cost, n * this.grid);
    const rule = (stack: Stack): ExitRule => rules[stack] ?? 'above';
    this.strict = byStack((stack) => rule(stack) === 'above' || rule(stack) === 'below');
    this.sign = byStack((stack) => (rule(stack) === 'above' || rule(stack) === 'at-least' ? 1 : -1));
    this.best = byStack((stack) => bestSoFar(stack, data[stack], depths[stack], this.sign[stack]));
    this.full = Uint8Array.from({length: n}, (_, i) => data.predictions[(i + 1) * this.grid - 1]!);
  }

  /**
   * Means of many threshold triples.
   * @param thresholds [settings × 3]: image, text, decoder.
   */
  sweep(thresholds: ArrayLike<number>): SweepTable {
    if (thresholds.length % 3 !== 0)
      throw new UsageError(
        'thresholds',
        `replay: ${thresholds.length} thresholds; three a setting are needed (image, text, decoder).`,
      );
    const settings = thresholds.length / 3;
    const {n, depths, predictions, labels} = this.data;
    const {grid, full} = this;
    const costs = this.costTables();
    const table = meansTable(settings);
    const costColumns = costs.map(() => new Float64Array(settings));
    const ranked = byStack((stack, k) => rankThresholds(thresholds, k, this.sign[stack]));
    const decoderThresholds = Float64Array.from(
      {length: settings},
      (_, s) => this.sign.decoder * thresholds[3 * s + 2]!,
    );
    // Item by item: all that one item has fits the fastest cache, while the settings stream by.
    const cells = new Int32Array(settings);
    for (let i = 0; i < n; i++) {
      for (const stack of ['image', 'text'] as const)
        layersByRank(this.best[stack], i * depths[stack], depths[stack], ranked[stack], this.strict[stack]);
      findCells(
        i,
        settings,
        ranked,
        depths,
        this.best.decoder,
        decoderThresholds,
        this.strict.decoder,
        cells,
        table.decoderLayers,
      );
      for (let s = 0; s < settings; s++) {
        const prediction = predictions[i * grid + cells[s]!]!;
        if (prediction === labels[i]!) table.accuracy[s]!++;
        if (prediction === full[i]!) table.agreement[s]!++;
      }
      costs.forEach(({values, stride}, c) => {
        const sums = costColumns[c]!;
        for (let s = 0; s < settings; s++) sums[s]! += values[i * stride + cells[s]!]!;
      });
    }
    for (let s = 0; s < settings; s++) {
      for (const sums of [table.accuracy, table.agreement, table.decoderLayers, ...costColumns]) sums[s]! /= n;
      table.imageLayers[s] = ranked.image.sums[ranked.image.rank[s]!]! / n;
      table.textLayers[s] = ranked.text.sums[ranked.text.rank[s]!]! / n;
      table.etr[s] = this.etr(table.imageLayers[s]!, table.textLayers[s]!, table.decoderLayers[s]!);
    }
    return {...table, costs: Object.fromEntries(costs.map(({name}, c) => [name, costColumns[c]!]))};
  }

  /** Item by item, for one threshold triple: what losses, bootstraps and histograms are made of. */
  outcomes(image: number, text: number, decoder: number): ItemOutcomes {
    const {n, depths} = this.data;
    const layers = byStack(() => new Uint8Array(n));
    const {best, strict, grid} = this;
    const [t, u, v] = [this.sign.image * image, this.sign.text * text, this.sign.decoder * decoder];
    for (let i = 0; i < n; i++) {
      const x = firstExit(best.image, i * depths.image, depths.image - 1, t, strict.image);
      const y = firstExit(best.text, i * depths.text, depths.text - 1, u, strict.text);
      const base = i * grid + (x * depths.text + y) * depths.decoder;
      layers.image[i] = x + 1;
      layers.text[i] = y + 1;
      layers.decoder[i] = firstExit(best.decoder, base, depths.decoder - 1, v, strict.decoder) + 1;
    }
    return this.at(layers);
  }

  /** Item by item, with the same depths for all: the static baseline. */
  fixed(image: number, text: number, decoder: number): ItemOutcomes {
    const given = {image, text, decoder};
    for (const stack of STACKS) {
      const depth = this.data.depths[stack];
      if (!(Number.isInteger(given[stack]) && given[stack] >= 1 && given[stack] <= depth))
        throw new UsageError('depth', `replay: ${stack} depth ${given[stack]}; 1 to ${depth} was recorded.`);
    }
    return this.at(byStack((stack) => new Uint8Array(this.data.n).fill(given[stack])));
  }

  /** Item by item, with depths given for each, from 1 [n]: what policies that are no threshold do, and oracles. */
  at({image, text, decoder}: Readonly<Record<Stack, Uint8Array>>): ItemOutcomes {
    const {n, depths, predictions, labels} = this.data;
    const {full, grid} = this;
    const costs = this.costTables();
    const columns = costs.map(() => new Float64Array(n));
    const [answers, correct, agrees] = [new Uint8Array(n), new Uint8Array(n), new Uint8Array(n)];
    for (let i = 0; i < n; i++) {
      const cell = ((image[i]! - 1) * depths.text + text[i]! - 1) * depths.decoder + decoder[i]! - 1;
      const prediction = predictions[i * grid + cell]!;
      answers[i] = prediction;
      correct[i] = prediction === labels[i]! ? 1 : 0;
      agrees[i] = prediction === full[i]! ? 1 : 0;
      for (let c = 0; c < costs.length; c++) columns[c]![i] = costs[c]!.values[i * costs[c]!.stride + cell]!;
    }
    const named = Object.fromEntries(costs.map(({name}, c) => [name, columns[c]!]));
    return {
      imageLayers: image,
      textLayers: text,
      decoderLayers: decoder,
      predictions: answers,
      correct,
      agrees,
      costs: named,
    };
  }

  private costTables(): {
    readonly name: string;
    readonly values: Float32Array | Float64Array;
    readonly stride: number;
  }[] {
    const {n, costs = {}} = this.data;
    // One table for all items, or one each (the same for a single item).
    return Object.entries(costs).map(([name, values]) => ({
      name,
      values,
      stride: values.length === n * this.grid ? this.grid : 0,
    }));
  }

  private etr(image: number, text: number, decoder: number): number {
    const {depths, weights = STREAM_WEIGHTS} = this.data;
    return 1 - weigh(weights, image, text, decoder) / weigh(weights, depths.image, depths.text, depths.decoder);
  }
}

function byStack<T>(value: (stack: Stack, index: number) => T): Record<Stack, T> {
  return {image: value('image', 0), text: value('text', 1), decoder: value('decoder', 2)};
}

function checkLength(what: string, array: ArrayLike<number>, wanted: number): void {
  if (array.length !== wanted)
    throw new InputError(
      'recording-shape',
      `replay: ${what} has ${array.length} numbers; the depths ask for ${wanted}.`,
    );
}
