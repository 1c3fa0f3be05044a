import type {ExitPlan} from '../../exit/plan/schema.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {largest} from '../../runtime/extremes.js';
import {mean, range} from '../../statistics/descriptive.js';
import {paretoFront} from '../../statistics/pareto-front.js';
import {type PolicySetting, type SettingTarget, settingPlan} from '../policy-setting.js';
import {layersSaved} from '../replay/threshold-replay.js';
import {bettingUpperBound, fewestItems} from '../risk/betting.js';
import {SequenceTest} from '../risk/sequence-test.js';
import {byPlace, mapStacks, weightedLayersEach} from '../stacks.js';
import {type CaptionCertificate, captionPromise, CAPTION_ASSUMPTIONS, type ExpectedCaptions} from './certificate.js';
import {LARGEST_SCORE, type SentenceScore, type SentenceScorer, sentenceScorer} from './sentence-scorer.js';

// Captions depend on every word before: settings are run, not replayed, and as few of them as the promise needs.

/** What a setting gave on a picture. */
export interface SettingCaption {
  readonly text: string;
  readonly macs: number;
  /** Of each stack, in the order of the model's; means over a caption's steps. */
  readonly layers: readonly number[];
}

/** A picture, and what settings gave on it. */
export interface CaptionRow {
  readonly imageId: string;
  readonly references: readonly string[];
  /** By setting, full depth first; null where a setting was not run. */
  readonly captions: readonly (SettingCaption | null)[];
}

export interface CaptionCalibrationOptions {
  /** Largest fraction of full depth's mean score that may be lost. */
  readonly maxDrop: number;
  /** Probability with which the promise may fail. */
  readonly delta: number;
  readonly score: SentenceScore;
  readonly cost: 'layers' | 'macs';
  /** Of the order of the pictures. */
  readonly seed: number;
}

/** Pictures that choose and order the candidates, and pictures that test them. */
export interface CaptionParts {
  readonly choose: number;
  readonly test: number;
}

/** The share of the pictures that chooses: full depth's mean and an order need few, the test needs all it can get. */
const CHOOSING = 0.2;

/** @throws InputError `too-few-items` if the pictures cannot certify even what loses nothing */
export function captionParts(pictures: number): CaptionParts {
  const choose = Math.round(CHOOSING * pictures);
  if (choose < 1 || pictures - choose < 1)
    throw new InputError('too-few-items', `${pictures} pictures: both parts of a calibration need at least one`);
  return {choose, test: pictures - choose};
}

/**
 * Chooses a plan for captions from settings that are run picture by picture. The first pictures run all of them: they
 * say what full depth scores, and put the settings that are worth it in order, the safest first. The others test them in
 * that order, each by betting on its losses as they come; what is decided is not run any longer.
 *
 * The loss of a picture is (full depth's score − the setting's) / the largest score: gains count. Certified is: its mean
 * is at most `maxDrop` of the mean score of full depth on the first pictures.
 */
export class CaptionCalibration {
  readonly #choosing: CaptionRow[] = [];
  readonly #rows: CaptionRow[] = [];
  readonly #most: number;
  #score: SentenceScorer | undefined;
  #meanFull = Number.NaN;
  /** Candidates in the order in which they are tested: numbers of settings. */
  #order: readonly number[] = [];
  #test: SequenceTest | undefined;

  /** @param settings full depth first */
  constructor(
    private readonly target: SettingTarget,
    private readonly settings: readonly PolicySetting[],
    private readonly parts: CaptionParts,
    private readonly options: CaptionCalibrationOptions,
    /** Default: of the choosing pictures' references. */
    private readonly scorer?: SentenceScorer,
  ) {
    if (settings.length < 2) throw new UsageError('no-candidates', 'a calibration needs settings besides full depth');
    if (!(options.maxDrop > 0 && options.maxDrop < 1))
      throw new UsageError('alpha', `the largest drop is ${options.maxDrop}; a number between 0 and 1 is needed`);
    this.#most = LARGEST_SCORE[options.score];
  }

  /** Settings that the next picture must be run on, full depth first; none when all is decided. */
  get wanted(): readonly number[] {
    if (this.#choosing.length < this.parts.choose) return range(0, this.settings.length - 1);
    const test = this.#begun();
    const left = this.#rows.length < this.parts.test ? test.open : [];
    return left.length === 0 ? [] : [0, ...left.map((c) => this.#order[c]!)];
  }

  /** The next picture, run on `wanted`. */
  add(row: CaptionRow): void {
    if (this.#choosing.length < this.parts.choose) {
      this.#choosing.push(row);
      return;
    }
    const test = this.#begun();
    const open = test.open;
    const losses = this.#losses(
      row,
      open.map((c) => this.#order[c]!),
    );
    for (const [k, c] of open.entries()) test.see(c, losses[k]!);
    this.#rows.push(row);
  }

  /** Chooses what all pictures so far allow. @param sources SHA-256 of the data, and of the rows */
  result({data, rows}: {readonly data: string; readonly rows: string}): {
    readonly plan: ExitPlan | undefined;
    readonly certificate: CaptionCertificate;
  } {
    const test = this.#begun();
    const {maxDrop, delta, score, seed, cost} = this.options;
    const accepted = test.accepted;
    const chosen = accepted === 0 ? undefined : this.#order[accepted - 1]!;
    const tested = this.#order.map((s, c) => {
      const {risk, pValue, items} = test.of(c);
      return {
        setting: this.settings[s]!,
        drop: this.#drop(risk),
        pValue,
        items,
        accepted: c < accepted,
      };
    });
    const certificate: CaptionCertificate = {
      method: 'betting-sequence',
      task: 'caption',
      model: this.target.model,
      data,
      runs: rows,
      score,
      largest: this.#most,
      full: this.#meanFull,
      alpha: maxDrop,
      delta,
      seed,
      cost,
      n1: this.#choosing.length,
      n2: this.#rows.length,
      candidates: this.settings.length - 1,
      tested: tested.filter(({items}) => items > 0),
      chosen: chosen === undefined ? null : tested[accepted - 1]!,
      expected: chosen === undefined ? null : this.#means(chosen),
      itemsNeeded: chosen === undefined ? this.#itemsNeeded() : null,
      promise: captionPromise(score, maxDrop, delta),
      assumptions: CAPTION_ASSUMPTIONS,
    };
    return {
      plan: chosen === undefined ? undefined : {...settingPlan(this.settings[chosen]!, this.target), certificate},
      certificate,
    };
  }

  /** The largest mean loss that is allowed, in units of the largest score. */
  get risk(): number {
    return this.#begun().risk;
  }

  /** Fewest pictures that could certify a setting which loses nothing. */
  get fewest(): number {
    return fewestItems(this.risk, this.options.delta);
  }

  /** The test, which begins when all choosing pictures are there. @throws InputError `no-items`, `score-zero` */
  #begun(): SequenceTest {
    if (this.#test) return this.#test;
    const rows = this.#choosing;
    if (rows.length === 0) throw new InputError('no-items', 'a calibration needs pictures; none could be run');
    this.#score =
      this.scorer ??
      sentenceScorer(
        this.options.score,
        rows.map(({references}) => references),
      );
    const all = range(0, this.settings.length - 1);
    const scores = rows.map((row) => this.#scores(row, all));
    this.#meanFull = mean(scores.map(([full]) => full!));
    if (!(this.#meanFull > 0))
      throw new InputError('score-zero', 'full depth scores nothing on these pictures: there is nothing to keep', {
        hint: 'Look at the captions: `mue evaluate`. Is this the model, and are these the references?',
      });
    const drops = all.map((s) => mean(scores.map((of) => of[0]! - of[s]!)) / this.#meanFull);
    const costs = all.map((s) => mean(rows.map((row) => this.#cost(row.captions[s]!))));
    // Full depth loses nothing: it needs no test, and whatever costs as much saves nothing.
    const front = paretoFront(drops, costs).filter((s) => s !== 0 && costs[s]! < costs[0]!);
    // What already loses three times what it may will not pass; nothing behind it would be tested.
    const {maxDrop, delta} = this.options;
    this.#order = front.filter((s, k) => k === 0 || drops[s]! <= 3 * maxDrop);
    this.#test = new SequenceTest(this.#order.length, (maxDrop * this.#meanFull) / this.#most, {
      items: this.parts.test,
      delta,
    });
    return this.#test;
  }

  #scores({references, captions}: CaptionRow, settings: readonly number[]): Float64Array {
    return this.#score!(
      references,
      settings.map((s) => captions[s]!.text),
    );
  }

  /** Of settings on a picture, in [−1, 1]. */
  #losses(row: CaptionRow, settings: readonly number[]): Float64Array {
    const [full, ...own] = this.#scores(row, [0, ...settings]);
    return Float64Array.from(own, (score) => (full! - score) / this.#most);
  }

  /** Of a setting on those of the pictures that ran it. */
  #lossesOf(setting: number, rows: readonly CaptionRow[]): number[] {
    return rows.filter(({captions}) => captions[setting]).map((row) => this.#losses(row, [setting])[0]!);
  }

  /** A mean loss as a fraction of full depth's mean score. */
  #drop(loss: number): number {
    return (loss * this.#most) / this.#meanFull;
  }

  #cost({macs, layers}: SettingCaption): number {
    if (this.options.cost === 'macs') return macs;
    const {stacks} = this.target;
    return weightedLayersEach(
      stacks,
      mapStacks(stacks, (_, __, k) => [layers[k]!]),
    )[0]!;
  }

  /** Means of a setting over the pictures that ran it, beside full depth's on the same pictures. */
  #means(chosen: number): ExpectedCaptions {
    const rows = [...this.#choosing, ...this.#rows].filter(({captions}) => captions[chosen]);
    const scores = rows.map((row) => this.#scores(row, [0, chosen]));
    const {stacks} = this.target;
    const layers = mapStacks(stacks, (_, __, k) => mean(rows.map(({captions}) => captions[chosen]!.layers[k]!)));
    const [run, full] = [chosen, 0].map((s) => mean(rows.map(({captions}) => captions[s]!.macs)));
    const [whole, own] = [0, 1].map((k) => mean(scores.map((of) => of[k]!)));
    return {
      pictures: rows.length,
      score: own!,
      retention: own! / whole!,
      agreement: mean(rows.map(({captions}) => Number(captions[chosen]!.text === captions[0]!.text))),
      layers: byPlace(stacks, layers),
      etr: layersSaved(stacks, layers),
      macs: {run: run!, full: full!, saved: 1 - run! / full!},
      dropUpperBound: this.#drop(bettingUpperBound(this.#lossesOf(chosen, this.#rows), this.options.delta)),
    };
  }

  /**
   * Pictures that the test would need, were the safest candidate's losses what they are here: the logarithm of the
   * capital grows by so much a picture at the best fixed bet. null if no number would do.
   */
  #itemsNeeded(): number | null {
    if (this.#order.length === 0) return null;
    const losses = this.#lossesOf(this.#order[0]!, [...this.#choosing, ...this.#rows]);
    const growth = range(1, 100).map((k) => mean(losses.map((loss) => Math.log1p((-k / 100) * (loss - this.risk)))));
    const best = largest(growth);
    return best > 0 ? Math.max(this.fewest, Math.ceil(Math.log(1 / this.options.delta) / best)) : null;
  }
}
