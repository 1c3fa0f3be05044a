import {type CaptionMetric, CaptionScorer, type CaptionScores} from '../../metrics/caption-scores.js';
import {meanRetention, retention} from '../../metrics/savings.js';
import {InputError} from '../../runtime/errors.js';
import {mean} from '../../statistics/descriptive.js';
import type {PolicySetting} from '../policy-setting.js';
import {layersSaved} from '../replay/threshold-replay.js';
import type {Runs, RunsHeader, RunsRow} from '../settings/runs.js';
import {type ByStack, byPlace, mapStacks, type RecordedStacks, weightedLayersEach} from '../stacks.js';
import {type CostFronts, costFronts, costFrontsByPolicy, type SweepMeans} from './sweep.js';

/**
 * Means over pictures of one setting. Layers of a stack that runs for every token are means over a caption's steps;
 * `macs.full` is of full depth's captions.
 */
export interface CaptionMeans extends Pick<SweepMeans, 'layers' | 'etr' | 'macs' | 'exact'> {
  readonly metrics: Readonly<Record<CaptionMetric, number>>;
  /** Fraction of the pictures with full depth's caption. */
  readonly agreement: number;
  /** CIDEr-D / CIDEr-D at full depth, and the mean of such ratios of all six metrics. */
  readonly retention: number;
  readonly meanRetention: number;
}

export type CaptionPoint = PolicySetting & CaptionMeans;

/** sweep.json of captions that were run, as far as the runs fill it. Fronts are of cost and CIDEr-D. */
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
  /** The fixed-depth baseline, full depth first. */
  readonly static: readonly CaptionPoint[];
  readonly fronts: CostFronts;
  readonly policyFronts: Readonly<Record<string, CostFronts>>;
  readonly staticFronts: CostFronts;
}

/** Results of one setting, picture by picture. */
export interface CaptionOutcomes {
  readonly setting: PolicySetting;
  readonly captions: readonly string[];
  /** Means over a caption's steps. */
  readonly layers: ByStack<Float64Array>;
  readonly macs: Float64Array;
  readonly scores: CaptionScores;
}

/** Scores the captions of all settings against the references. */
export class CaptionRuns {
  readonly rows: readonly RunsRow[];
  /** In the order of the header's settings: full depth first. */
  readonly outcomes: readonly CaptionOutcomes[];

  /** @throws InputError `no-items` if there are no pictures */
  constructor(readonly runs: Runs) {
    const {header, rows} = runs;
    if (rows.length === 0) throw new InputError('no-items', 'the runs have no pictures; at least one is needed.');
    this.rows = rows;
    const scorer = new CaptionScorer(rows.map(({references}) => references));
    this.outcomes = header.settings.map((setting, s) => outcomes(setting, s, runs, scorer));
  }

  get stacks(): RecordedStacks {
    return this.runs.header.stacks;
  }

  get full(): CaptionOutcomes {
    return this.outcomes[0]!;
  }

  /** Pictures, for the bootstrap: a picture may have several rows. */
  get pictures(): readonly string[] {
    return this.rows.map(({imageId}) => imageId);
  }

  means({captions, layers, macs, scores: {metrics}}: CaptionOutcomes): CaptionMeans {
    const {full, stacks} = this;
    const meanLayers = mapStacks(stacks, (stack) => mean(layers[stack]!));
    const [run, whole] = [mean(macs), mean(full.macs)];
    const same = captions.filter((caption, k) => caption === full.captions[k]).length;
    return {
      metrics,
      agreement: same / captions.length,
      retention: retention(metrics['CIDEr-D'], full.scores.metrics['CIDEr-D']),
      meanRetention: meanRetention(metrics, full.scores.metrics),
      layers: byPlace(stacks, meanLayers),
      etr: layersSaved(stacks, meanLayers),
      macs: {run, full: whole, saved: 1 - run / whole},
      exact: true,
    };
  }
}

/** Sums up runs: points, fronts and the static baseline. @param sha256 of the runs' header and rows */
export function sweepCaptions(captions: CaptionRuns, sha256: string): CaptionSweep {
  const {runs, outcomes: all, full, stacks} = captions;
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
    fronts: costFronts(points, cider, stacks),
    policyFronts: costFrontsByPolicy(points, cider, stacks),
    staticFronts: costFronts(statics, cider, stacks),
  };
}

/** Fixed depths of all stacks. */
export function isStatic({encoder, policy}: PolicySetting): boolean {
  return encoder === 'fixed' && policy === 'fixed';
}

/** Layers as they are counted, picture by picture. */
export function layersCounted({stacks}: CaptionRuns, {layers}: CaptionOutcomes): Float64Array {
  return weightedLayersEach(stacks, layers);
}

function outcomes(setting: PolicySetting, s: number, {header, rows}: Runs, scorer: CaptionScorer): CaptionOutcomes {
  const searches = rows.map(({searches, of}) => searches[of[s]!]!);
  const captions = searches.map(({text}) => text);
  return {
    setting,
    captions,
    layers: mapStacks(header.stacks, (_stack, _depth, k) =>
      Float64Array.from(searches, ({encoder, decoder}) => mean([encoder[k] ?? decoder].flat())),
    ),
    macs: Float64Array.from(searches, ({macs}, i) => macs.run + rows[i]!.tests[s]!),
    scores: scorer.score(captions),
  };
}
