import type {PolicySetting} from '../policy-setting.js';
import type {CaptionMeans} from '../sweep/caption-sweep.js';
import {shortPercent} from '../../text/format.js';
import type {SentenceScore} from './sentence-scorer.js';

/** Record of how a plan for captions was chosen, kept in the plan. Plain data. */
export interface CaptionCertificate {
  readonly method: 'betting-sequence';
  readonly task: 'caption';
  /** SHA-256 of the weights, of the data file, and of the rows of what was run. */
  readonly model: string;
  readonly data: string;
  readonly runs: string;
  readonly score: SentenceScore;
  /** The largest value of the score, by which losses are divided. */
  readonly largest: number;
  /** Mean score of full depth on the choosing pictures. */
  readonly full: number;
  /** Largest fraction of that mean that may be lost. */
  readonly alpha: number;
  readonly delta: number;
  readonly seed: number;
  readonly cost: 'layers' | 'macs';
  /** Pictures that chose and ordered the candidates, and that tested them until all were decided. */
  readonly n1: number;
  readonly n2: number;
  readonly candidates: number;
  /** In the order of the test. */
  readonly tested: readonly TestedCaptions[];
  readonly chosen: TestedCaptions | null;
  /** Means of the chosen setting over the pictures that ran it. */
  readonly expected: ExpectedCaptions | null;
  /** Where nothing is certified: the pictures that the test would need, by the safest candidate; null if none would do. */
  readonly itemsNeeded: number | null;
  readonly promise: string;
  readonly assumptions: string;
}

/** Means over pictures; `agreement` is the fraction with full depth's caption. */
export interface ExpectedCaptions extends Pick<CaptionMeans, 'agreement' | 'layers' | 'etr' | 'macs'> {
  readonly pictures: number;
  readonly score: number;
  /** That score / full depth's on the same pictures. */
  readonly retention: number;
  /** Upper bound of its drop by itself, except with probability δ: its run may have been ended where that suited it. */
  readonly dropUpperBound: number;
}

export interface TestedCaptions {
  readonly setting: PolicySetting;
  /** Mean loss as a fraction of full depth's mean score. */
  readonly drop: number;
  readonly pValue: number;
  /** Pictures of the test that it was run on. */
  readonly items: number;
  readonly accepted: boolean;
}

/** The promise in words. */
export function captionPromise(score: SentenceScore, alpha: number, delta: number): string {
  return (
    `Except with probability ${delta} over calibration sets, captions of the plan score, on average, at most ` +
    `${shortPercent(alpha)} less than full depth's (${score} of single captions, gains count).`
  );
}

/** Assumptions of the promise in words. */
export const CAPTION_ASSUMPTIONS =
  'Holds for pictures drawn independently from where the calibration pictures come from. The percentage is of full ' +
  "depth's mean score on the pictures that chose the candidates.";
