import type {LinearHead} from '../../exit/policies/linear-head.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {mean} from '../../statistics/descriptive.js';
import {type PolicySetting, type StackSetting, settingGroup, stackSettings} from '../policy-setting.js';
import {type Recording, recordedMacs} from '../recording/entailment.js';
import {
  type ByStack,
  byPlace,
  cellCount,
  cellLayers,
  cellsOf,
  fullDepth,
  lastStack,
  mapStacks,
  type RecordedStacks,
  stacksBefore,
} from '../stacks.js';
import {crossFittedHeads} from './decoder-head.js';
import {
  type DecoderMeasures,
  decoderMeasures,
  decoderScores,
  encoderScores,
  type StackScores,
} from './decoder-scores.js';
import type {LayerMilliseconds} from './layer-milliseconds.js';
import {emptyTable, type ItemOutcomes, layersSaved, type SweepTable, ThresholdReplay} from './threshold-replay.js';

export interface PolicyReplayOptions {
  /**
   * For `linear-head`. Without it two heads are trained here, each for the half of the pictures that it has not seen.
   */
  readonly head?: LinearHead;
  /** Seed of that training; default 0. */
  readonly seed?: number;
  /** Scores that policies saw; by default those that follow from the recorded logits. */
  readonly measures?: DecoderMeasures;
  /** Adds the cost 'ms'. */
  readonly ms?: LayerMilliseconds;
}

/**
 * Replays every policy on one recording of a single-step task: exact, since the answers of all combinations are there.
 * Stacks before the last exit by similarity or at a fixed depth, the last by any policy; costs are 'macs' of each item,
 * and 'ms' if they are modelled.
 */
export class PolicyReplay {
  readonly measures: DecoderMeasures;
  /** Picture of every item, numbered from 0 in the order of their appearance. */
  readonly pictures: readonly number[];
  readonly #macs: Float64Array;
  readonly #costs: Readonly<Record<string, Float64Array>>;
  /** By group of settings: those that differ in thresholds only share one. */
  readonly #replays = new Map<string, ThresholdReplay>();
  #heads: ((item: number) => LinearHead) | undefined;

  /** @throws InputError `no-items` if the recording is empty */
  constructor(
    readonly recording: Recording,
    readonly options: PolicyReplayOptions = {},
  ) {
    if (recording.n === 0) throw new InputError('no-items', 'the recording has no items; at least one is needed.');
    this.measures = options.measures ?? decoderMeasures(recording);
    this.#macs = recordedMacs(recording);
    this.#costs = {macs: this.#macs, ...(options.ms ? {ms: modelledMs(this.stacks, options.ms)} : {})};
    const numbers = new Map<string, number>();
    this.pictures = recording.rows.map(({imageId}) => {
      const number = numbers.get(imageId) ?? numbers.size;
      numbers.set(imageId, number);
      return number;
    });
  }

  get stacks(): RecordedStacks {
    return this.recording.header.stacks;
  }

  /** Means over items of every setting, in their order. Costs are 'macs' alone. */
  sweep(settings: readonly PolicySetting[]): SweepTable {
    const {stacks} = this;
    const table = emptyTable(stacks, settings.length, ['macs']);
    const put = (found: SweepTable, from: number, to: number): void => {
      for (const name of ['accuracy', 'agreement', 'etr'] as const) table[name][to] = found[name][from]!;
      for (const {stack} of stacks) table.layers[stack]![to] = found.layers[stack]![from]!;
      table.costs['macs']![to] = found.costs['macs']![from]!;
    };
    const groups = new Map<string, number[]>();
    for (const [s, setting] of settings.entries()) {
      const group = settingGroup(setting);
      const members = groups.get(group);
      if (members === undefined) groups.set(group, [s]);
      else members.push(s);
    }
    for (const [group, members] of groups) {
      const first = settings[members[0]!]!;
      if (first.policy === 'quantile-budget') {
        for (const s of members) put(this.means(this.outcomes(settings[s]!)), 0, s);
        continue;
      }
      const found = this.#replay(group, first).sweep(members.map((s) => this.#thresholds(settings[s]!)));
      for (const [k, s] of members.entries()) put(found, k, s);
    }
    return table;
  }

  /** Item by item, for one setting. */
  outcomes(setting: PolicySetting): ItemOutcomes {
    if (setting.policy !== 'quantile-budget')
      return this.#replay(settingGroup(setting), setting).outcomes(this.#thresholds(setting));
    const encoders: PolicySetting = {...setting, policy: 'fixed', decoder: 1};
    const {layers} = this.#replay(settingGroup(encoders), encoders).outcomes(this.#thresholds(encoders));
    return this.at(layers, (first, depth) => this.#budgetDepth(setting, first, depth));
  }

  /** Every item at the same depths, from 1. */
  fixed(layers: ByStack<number>): ItemOutcomes {
    return this.#base().fixed(layers);
  }

  /** Every item at full depth. */
  full(): ItemOutcomes {
    return this.fixed(fullDepth(this.stacks));
  }

  /**
   * Every item at its own depths.
   * @param layers of the stacks before the last, from 1 [n]; one of the last is not looked at
   * @param depth  layers of the last stack, given where its cells begin in the measures, and how many layers it has
   */
  at(layers: ByStack<Uint8Array>, depth: (first: number, layers: number) => number): ItemOutcomes {
    const last = lastStack(this.stacks);
    const cuts = cellsOf(stacksBefore(this.stacks), layers);
    const own = Uint8Array.from(cuts, (cut, i) => depth(i * this.measures.grid + cut * last.depth, last.depth));
    return this.#base().at({...layers, [last.stack]: own});
  }

  /** A table of one setting. */
  means({layers, correct, agrees, costs}: ItemOutcomes): SweepTable {
    const only = (values: ArrayLike<number>): Float64Array => Float64Array.of(mean(values));
    const run = mapStacks(this.stacks, (stack) => mean(layers[stack]!));
    return {
      accuracy: only(correct),
      agreement: only(agrees),
      layers: mapStacks(this.stacks, (stack) => Float64Array.of(run[stack]!)),
      etr: Float64Array.of(layersSaved(this.stacks, run)),
      costs: {macs: only(costs['macs']!)},
    };
  }

  /** Multiply-accumulates of one item in a cell. */
  cellMacs(item: number, cell: number): number {
    return this.#macs[item * this.measures.grid + cell]!;
  }

  /** A replay for whom only depths matter. */
  #base(): ThresholdReplay {
    const shallow = byPlace(
      this.stacks,
      mapStacks(this.stacks, () => 1),
    );
    const setting: PolicySetting = {encoder: 'fixed', policy: 'fixed', ...shallow};
    return this.#replay(settingGroup(setting), setting);
  }

  #replay(group: string, setting: PolicySetting): ThresholdReplay {
    const known = this.#replays.get(group);
    if (known !== undefined) return known;
    const {stacks, recording, measures} = this;
    const {n, labels, similarity} = recording;
    if (setting.policy === 'linear-head') this.#heads ??= this.#trainHeads();
    const settings = stackSettings(setting, stacks);
    const scored = mapStacks(
      stacks,
      (stack, depth): StackScores =>
        stack === lastStack(stacks).stack
          ? decoderScores(measures, setting, this.#heads)
          : encoderScores(settings[stack]!, similarity[stack]!, depth),
    );
    const scores = mapStacks(stacks, (stack) => scored[stack]!.scores);
    const replay = new ThresholdReplay(
      {n, stacks, scores, predictions: measures.answer, labels, costs: this.#costs},
      mapStacks(stacks, (stack) => scored[stack]!.rule),
    );
    this.#replays.set(group, replay);
    return replay;
  }

  #thresholds(setting: PolicySetting): ByStack<number> {
    const settings = stackSettings(setting, this.stacks);
    return mapStacks(this.stacks, (stack) => exitThreshold(settings[stack]!));
  }

  #trainHeads(): (item: number) => LinearHead {
    const {head, seed = 0} = this.options;
    return head === undefined ? crossFittedHeads(this.measures, this.pictures, seed) : () => head;
  }

  #budgetDepth({thresholds, score}: PolicySetting, first: number, layers: number): number {
    if (thresholds === undefined) throw new UsageError('thresholds', "a 'quantile-budget' needs a threshold a layer");
    const values = score === 'softmax-margin' ? this.measures.margin : this.measures.similarity;
    for (let l = 0; l < layers - 1; l++) {
      const threshold = thresholds[l] ?? null;
      if (threshold !== null && values[first + l]! >= threshold) return l + 1;
    }
    return layers;
  }
}

/** NaN never exits. Neither does a similarity of 1, as in the policy: rounding can bring a cosine above it. */
function exitThreshold({policy, value}: StackSetting): number {
  return value === null || (policy === 'similarity' && value >= 1) ? Number.NaN : value;
}

/** Milliseconds of every combination, the same for all items. */
function modelledMs(stacks: RecordedStacks, ms: LayerMilliseconds): Float64Array {
  return Float64Array.from({length: cellCount(stacks)}, (_, cell) => {
    const layers = cellLayers(stacks, cell);
    return stacks.reduce((sum, {stack}) => sum + layers[stack]! * ms.layers[stack]!, ms.base);
  });
}
