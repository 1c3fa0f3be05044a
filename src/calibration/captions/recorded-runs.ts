import {seededRandom} from '../../runtime/random.js';
import {mean, range} from '../../statistics/descriptive.js';
import {promiseCount, type PromiseCount} from '../risk/coverage-check.js';
import type {Runs} from '../settings/runs.js';
import {
  type CaptionCalibrationOptions,
  CaptionCalibration,
  captionParts,
  type CaptionRow,
} from './caption-calibration.js';
import {sentenceScorer} from './sentence-scorer.js';

// Calibration of captions from settings that have been run on all pictures (`mue sweep`): nothing is left to run.

/** The first row of each picture, in an order that owes nothing to the rows'. */
export function shuffledPictures<T extends {readonly imageId: string}>(rows: Iterable<T>, seed: number): T[] {
  const first = new Map<string, T>();
  for (const row of rows) if (!first.has(row.imageId)) first.set(row.imageId, row);
  const pictures = [...first.values()];
  return seededRandom(seed)
    .shuffle(range(0, pictures.length - 1))
    .map((i) => pictures[i]!);
}

/** One row a picture, each with every setting. */
export function recordedRows({header, rows}: Runs, seed: number): CaptionRow[] {
  return shuffledPictures(rows, seed).map(({imageId, references, searches, of, tests}) => ({
    imageId,
    references,
    captions: header.settings.map((_, s) => {
      const {text, macs, encoder, decoder} = searches[of[s]!]!;
      return {text, macs: macs.run + tests[s]!, layers: meanLayers([...encoder, decoder])};
    }),
  }));
}

/** @param layers of each stack: a number, or one for each step */
export function meanLayers(layers: readonly (number | readonly number[])[]): number[] {
  return layers.map((of) => mean([of].flat()));
}

/** A calibration of recorded runs that has seen all pictures it needs. */
export function calibrateRuns(
  runs: Runs,
  rows: readonly CaptionRow[],
  options: CaptionCalibrationOptions,
): CaptionCalibration {
  const calibration = new CaptionCalibration(runs.header, runs.header.settings, captionParts(rows.length), options);
  for (const row of rows) {
    if (calibration.wanted.length === 0) break;
    calibration.add(row);
  }
  return calibration;
}

/** Count of broken promises of calibrations on pictures drawn from those of recorded runs. */
export interface CaptionCoverage extends PromiseCount {
  /** Pictures of each sample, and of the pool. */
  readonly n: number;
  /** Samples where something was certified, and the mean of what their plans save of the cost. */
  readonly certified: number;
  readonly meanSaved: number;
}

/** Calibrates on samples drawn with replacement from the pictures, whose mean losses on all of them are the true ones. */
export function captionCoverage(
  runs: Runs,
  rows: readonly CaptionRow[],
  options: CaptionCalibrationOptions,
  samples: number,
): CaptionCoverage {
  const {delta, score, seed} = options;
  const scorer = sentenceScorer(
    score,
    rows.map(({references}) => references),
  );
  // Every caption is scored once.
  const known = new Map(
    rows.map((row) => {
      const scores = scorer(
        row.references,
        row.captions.map((caption) => caption!.text),
      );
      return [row, new Map(row.captions.map((caption, s) => [caption!.text, scores[s]!]))];
    }),
  );
  const scoreOf = (row: CaptionRow, text: string): number => known.get(row)!.get(text)!;
  const byReferences = new Map(rows.map((row) => [row.references, row]));
  const random = seededRandom(seed);
  let [violations, certified, saved] = [0, 0, 0];
  for (let sample = 0; sample < samples; sample++) {
    const calibration = new CaptionCalibration(
      runs.header,
      runs.header.settings,
      captionParts(rows.length),
      options,
      (references, captions) => Float64Array.from(captions, (text) => scoreOf(byReferences.get(references)!, text)),
    );
    for (let i = 0; i < rows.length && calibration.wanted.length > 0; i++)
      calibration.add(rows[random.below(rows.length)]!);
    const {chosen, full, alpha, expected} = calibration.result({data: '', rows: ''}).certificate;
    if (chosen === null) continue;
    certified++;
    saved += options.cost === 'macs' ? expected!.macs.saved : expected!.etr;
    const s = runs.header.settings.indexOf(chosen.setting);
    const lost = mean(rows.map((row) => scoreOf(row, row.captions[0]!.text) - scoreOf(row, row.captions[s]!.text)));
    if (lost > alpha * full) violations++;
  }
  const promise = promiseCount(violations, samples, delta);
  return {...promise, n: rows.length, certified, meanSaved: certified === 0 ? 0 : saved / certified};
}
