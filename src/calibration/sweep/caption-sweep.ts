import {type CaptionMetric, CaptionScorer, type CaptionScores} from '../../metrics/caption-scores.js';
import {meanRetention, retention} from '../../metrics/savings.js';
import {InputError} from '../../runtime/errors.js';
import {type LayerWeights, layerWeights, weigh} from '../replay/layer-weights.js';
import type {PolicySetting} from '../policy-setting.js';
import type {Runs, RunsHeader, RunsRow} from '../settings/runs.js';
import {type CostFronts, costFronts, costFrontsByPolicy, type SweepMeans} from './sweep.js';

/** Means over pictures of one setting: of layers that run for every token, over a caption's steps; of `macs.full`, those of full depth's captions. */
export interface CaptionMeans extends Pick<SweepMeans, 'layers' | 'etr' | 'macs' | 'exact'> {
  readonly metrics: Readonly<Record<CaptionMetric, number>>;
  /** Share of the pictures with full depth's caption. */
  readonly agreement: number;
  /** CIDEr-D / CIDEr-D at full depth, and the mean of the same of all six metrics. */
  readonly retention: number;
  readonly meanRetention: number;
}

export type CaptionPoint = PolicySetting & CaptionMeans;

/** As `Sweep`, for captions. Fronts are of cost and CIDEr-D. */
export interface CaptionSweep {
  readonly format: 'mue-sweep';
  readonly version: 1;
  readonly recording: Omit<RunsHeader, 'settings'> & {
    readonly sha256: string;
    readonly n: number;
    readonly pictures: number;
  };
  readonly full: CaptionMeans;
  readonly points: readonly CaptionPoint[];
  /** Fixed depths of all stacks: the baseline, full depth first. */
  readonly static: readonly CaptionPoint[];
  readonly fronts: CostFronts;
  readonly policyFronts: Readonly<Record<string, CostFronts>>;
  readonly staticFronts: CostFronts;
}

/** What one setting did, picture by picture. */
export interface CaptionOutcomes {
  readonly setting: PolicySetting;
  readonly captions: readonly string[];
  readonly image: Float64Array;
  readonly text: Float64Array;
  readonly decoder: Float64Array;
  readonly macs: Float64Array;
  readonly scores: CaptionScores;
}

/** Scores the captions of all settings against the references. */
export class CaptionRuns {
  readonly rows: readonly RunsRow[];
  /** How layers are counted. */
  readonly weights: LayerWeights;
  /** In the order of the header's settings: full depth first. */
  readonly outcomes: readonly CaptionOutcomes[];

  /** @throws InputError `no-items` if there are no pictures */
  constructor(readonly runs: Runs) {
    const {header, rows} = runs;
    if (rows.length === 0) throw new InputError('no-items', 'the runs have no pictures; at least one is needed.');
    this.rows = rows;
    this.weights = layerWeights(header);
    const scorer = new CaptionScorer(rows.map(({references}) => references));
    this.outcomes = header.settings.map((setting, s) => outcomes(setting, s, rows, scorer));
  }

  get full(): CaptionOutcomes {
    return this.outcomes[0]!;
  }

  /** Pictures, for the bootstrap: a picture may have several rows. */
  get pictures(): readonly string[] {
    return this.rows.map(({imageId}) => imageId);
  }

  means({captions, image, text, decoder, macs, scores: {metrics}}: CaptionOutcomes): CaptionMeans {
    const {full} = this;
    const [i, t, d] = this.runs.header.stacks.map(({depth}) => depth) as [number, number, number];
    const [run, whole] = [mean(macs), mean(full.macs)];
    const same = captions.filter((caption, k) => caption === full.captions[k]).length;
    return {
      metrics,
      agreement: same / captions.length,
      retention: retention(metrics['CIDEr-D'], full.scores.metrics['CIDEr-D']),
      meanRetention: meanRetention(metrics, full.scores.metrics),
      layers: {image: mean(image), text: mean(text), decoder: mean(decoder)},
      etr: 1 - weigh(this.weights, mean(image), mean(text), mean(decoder)) / weigh(this.weights, i, t, d),
      macs: {run, full: whole, saved: 1 - run / whole},
      exact: true,
    };
  }
}

/** Sums up runs: points, fronts and the static baseline. @param sha256 of the runs' header and rows */
export function sweepCaptions(captions: CaptionRuns, sha256: string): CaptionSweep {
  const {runs, outcomes: all, full} = captions;
  const {settings: _, ...header} = runs.header;
  const point = (of: CaptionOutcomes): CaptionPoint => ({...of.setting, ...captions.means(of)});
  const statics = all.filter(({setting}) => isStatic(setting)).map(point);
  const points = all.filter(({setting}) => !isStatic(setting)).map(point);
  const cider = ({metrics}: CaptionMeans): number => metrics['CIDEr-D'];
  return {
    format: 'mue-sweep',
    version: 1,
    recording: {...header, sha256, n: captions.rows.length, pictures: new Set(captions.pictures).size},
    full: captions.means(full),
    points,
    static: statics,
    fronts: costFronts(points, cider, captions.weights),
    policyFronts: costFrontsByPolicy(points, cider, captions.weights),
    staticFronts: costFronts(statics, cider, captions.weights),
  };
}

/** Fixed depths of all stacks. */
export function isStatic({encoder, policy}: PolicySetting): boolean {
  return encoder === 'fixed' && policy === 'fixed';
}

/** Layers as they are counted, picture by picture. */
export function layersCounted({weights}: CaptionRuns, {image, text, decoder}: CaptionOutcomes): Float64Array {
  return image.map((x, i) => weigh(weights, x, text[i]!, decoder[i]!));
}

function outcomes(setting: PolicySetting, s: number, rows: readonly RunsRow[], scorer: CaptionScorer): CaptionOutcomes {
  const searches = rows.map(({searches, of}) => searches[of[s]!]!);
  const captions = searches.map(({text}) => text);
  return {
    setting,
    captions,
    image: Float64Array.from(searches, ({encoder}) => meanOf(encoder[0]!)),
    text: Float64Array.from(searches, ({encoder}) => meanOf(encoder[1]!)),
    decoder: Float64Array.from(searches, ({decoder}) => mean(decoder)),
    macs: Float64Array.from(searches, ({macs}, i) => macs.run + rows[i]!.tests[s]!),
    scores: scorer.score(captions),
  };
}

/** Of one number, or one a step. */
function meanOf(layers: number | readonly number[]): number {
  return typeof layers === 'number' ? layers : mean(layers);
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}
