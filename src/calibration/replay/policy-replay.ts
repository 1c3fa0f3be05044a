import type {LinearHead} from '../../exit/policies/linear-head.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {type LayerWeights, layerWeights, weigh} from './layer-weights.js';
import {crossFittedHeads} from './decoder-head.js';
import {type DecoderMeasures, decoderMeasures, decoderScores, layerNumbers} from './decoder-scores.js';
import type {LayerMilliseconds} from './layer-milliseconds.js';
import {type PolicySetting, settingGroup} from '../policy-setting.js';
import {type Recording, recordedMacs} from '../recording/entailment.js';
import {type ItemOutcomes, meansTable, type ReplayRules, type SweepTable, ThresholdReplay} from './threshold-replay.js';

export interface PolicyReplayOptions {
  /** For `linear-head`. Without it two heads are trained here, each for the half of the pictures that it has not seen. */
  readonly head?: LinearHead | undefined;
  readonly seed?: number;
  /** What policies saw; by default what follows from the recorded logits. */
  readonly measures?: DecoderMeasures | undefined;
  /** Adds the cost 'ms'. */
  readonly ms?: LayerMilliseconds | undefined;
}

/**
 * Replays every policy on one recording of a single-step task: exact, since the answers of all combinations are there.
 * Encoder stacks exit by similarity or at a fixed depth, the decoder by any policy; costs are 'macs' of each item, and 'ms' if modelled.
 */
export class PolicyReplay {
  readonly measures: DecoderMeasures;
  /** Picture of every item, numbered from 0 in the order of their appearance. */
  readonly pictures: readonly number[];
  /** How layers are counted. */
  readonly weights: LayerWeights;
  private readonly macs: Float64Array;
  private readonly costs: Readonly<Record<string, Float64Array>>;
  private readonly replays = new Map<string, ThresholdReplay>();
  private heads: ((item: number) => LinearHead) | undefined;

  /** @throws InputError `no-items` if the recording is empty */
  constructor(
    readonly recording: Recording,
    readonly options: PolicyReplayOptions = {},
  ) {
    if (recording.n === 0) throw new InputError('no-items', 'the recording has no items; at least one is needed.');
    this.measures = options.measures ?? decoderMeasures(recording);
    this.weights = layerWeights(recording.header);
    this.macs = recordedMacs(recording);
    this.costs = {macs: this.macs, ...(options.ms ? {ms: modelledMs(recording, options.ms)} : {})};
    const numbers = new Map<string, number>();
    this.pictures = recording.rows.map(({imageId}) => {
      const number = numbers.get(imageId) ?? numbers.size;
      numbers.set(imageId, number);
      return number;
    });
  }

  /** Means over items of every setting, in their order. */
  sweep(settings: readonly PolicySetting[]): SweepTable & {readonly costs: {readonly macs: Float64Array}} {
    const table = {...meansTable(settings.length), costs: {macs: new Float64Array(settings.length)}};
    const put = (found: SweepTable, from: number, to: number): void => {
      for (const name of ['accuracy', 'agreement', 'imageLayers', 'textLayers', 'decoderLayers', 'etr'] as const)
        table[name][to] = found[name][from]!;
      table.costs.macs[to] = found.costs['macs']![from]!;
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
      const thresholds = new Float64Array(3 * members.length);
      for (const [k, s] of members.entries()) thresholds.set(triple(settings[s]!), 3 * k);
      const found = this.replay(group, first).sweep(thresholds);
      for (const [k, s] of members.entries()) put(found, k, s);
    }
    return table;
  }

  /** Item by item, for one setting. */
  outcomes(setting: PolicySetting): ItemOutcomes {
    const [image, text, decoder] = triple(setting);
    if (setting.policy !== 'quantile-budget')
      return this.replay(settingGroup(setting), setting).outcomes(image, text, decoder);
    const encoders: PolicySetting = {...setting, policy: 'fixed', decoder: 1};
    const {imageLayers, textLayers} = this.replay(settingGroup(encoders), encoders).outcomes(image, text, 1);
    return this.at(imageLayers, textLayers, (first, layers) => this.budgetDepth(setting, first, layers));
  }

  /** Every item at the same depths. */
  fixed(image: number, text: number, decoder: number): ItemOutcomes {
    return this.base().fixed(image, text, decoder);
  }

  /** Every item at its own depths. @param depth of the decoder, given where the item's decoder layers begin, and how many there are */
  at(image: Uint8Array, text: Uint8Array, depth: (first: number, layers: number) => number): ItemOutcomes {
    const {n, depths} = this.recording;
    const decoder = Uint8Array.from({length: n}, (_, i) => {
      const first = i * this.measures.grid + ((image[i]! - 1) * depths.text + text[i]! - 1) * depths.decoder;
      return depth(first, depths.decoder);
    });
    return this.base().at({image, text, decoder});
  }

  /** As a table of one setting. */
  means({imageLayers, textLayers, decoderLayers, correct, agrees, costs}: ItemOutcomes): SweepTable {
    const {depths} = this.recording;
    const mean = (values: ArrayLike<number>): Float64Array => {
      let sum = 0;
      for (let i = 0; i < values.length; i++) sum += values[i]!;
      return Float64Array.of(sum / values.length);
    };
    const [image, text, decoder] = [mean(imageLayers), mean(textLayers), mean(decoderLayers)];
    const etr =
      1 -
      weigh(this.weights, image[0]!, text[0]!, decoder[0]!) /
        weigh(this.weights, depths.image, depths.text, depths.decoder);
    return {
      accuracy: mean(correct),
      agreement: mean(agrees),
      imageLayers: image,
      textLayers: text,
      decoderLayers: decoder,
      etr: Float64Array.of(etr),
      costs: {macs: mean(costs['macs']!)},
    };
  }

  /** MACs of a cell of one item. */
  cellMacs(item: number, cell: number): number {
    return this.macs[item * this.measures.grid + cell]!;
  }

  private base(): ThresholdReplay {
    const setting: PolicySetting = {encoder: 'fixed', policy: 'fixed', image: 1, text: 1, decoder: 1};
    return this.replay(settingGroup(setting), setting);
  }

  private replay(group: string, setting: PolicySetting): ThresholdReplay {
    const known = this.replays.get(group);
    if (known !== undefined) return known;
    const {recording, measures, costs} = this;
    const {n, depths, labels} = recording;
    if (setting.policy === 'linear-head') this.heads ??= this.trainHeads();
    const {scores, rule} = decoderScores(measures, setting, this.heads);
    const fixed = setting.encoder === 'fixed';
    const rules: ReplayRules = {image: fixed ? 'at-least' : 'above', text: fixed ? 'at-least' : 'above', decoder: rule};
    const replay = new ThresholdReplay(
      {
        n,
        depths,
        weights: this.weights,
        image: fixed ? layerNumbers(n * depths.image, depths.image) : recording.image,
        text: fixed ? layerNumbers(n * depths.text, depths.text) : recording.text,
        decoder: scores,
        predictions: measures.answer,
        labels,
        costs,
      },
      rules,
    );
    this.replays.set(group, replay);
    return replay;
  }

  private trainHeads(): (item: number) => LinearHead {
    const {head, seed = 0} = this.options;
    return head === undefined ? crossFittedHeads(this.measures, this.pictures, seed) : () => head;
  }

  private budgetDepth({thresholds, score}: PolicySetting, first: number, layers: number): number {
    if (thresholds === undefined) throw new UsageError('thresholds', "a 'quantile-budget' needs a threshold a layer");
    const values = score === 'softmax-margin' ? this.measures.margin : this.measures.similarity;
    for (let l = 0; l < layers - 1; l++) {
      const threshold = thresholds[l] ?? null;
      if (threshold !== null && values[first + l]! >= threshold) return l + 1;
    }
    return layers;
  }
}

/** Milliseconds of every combination, the same for all items. */
function modelledMs({depths}: Recording, ms: LayerMilliseconds): Float64Array {
  return Float64Array.from({length: depths.image * depths.text * depths.decoder}, (_, c) => {
    const [d, t, v] = [
      c % depths.decoder,
      Math.floor(c / depths.decoder) % depths.text,
      Math.floor(c / (depths.decoder * depths.text)),
    ];
    return ms.base + (v + 1) * ms.image + (t + 1) * ms.text + (d + 1) * ms.decoder;
  });
}

/** NaN never exits. Neither does a similarity of 1, as in the policy: rounding can bring a cosine above it. */
function triple({encoder, policy, image, text, decoder}: PolicySetting): [number, number, number] {
  const similarity = (value: number | null): number => (value === null || value >= 1 ? Number.NaN : value);
  const depth = (value: number | null): number => value ?? Number.NaN;
  const stack = encoder === 'fixed' ? depth : similarity;
  return [stack(image), stack(text), policy === 'similarity' ? similarity(decoder) : depth(decoder)];
}
