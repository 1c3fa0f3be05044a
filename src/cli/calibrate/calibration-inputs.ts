import {mergeRecordings} from '../../calibration/recording/merge.js';
import type {SettingTarget} from '../../calibration/policy-setting.js';
import {type LayerMilliseconds, layerMilliseconds} from '../../calibration/replay/layer-milliseconds.js';
import {PolicyReplay} from '../../calibration/replay/policy-replay.js';
import type {CalibrationOptions} from '../../calibration/risk/calibrate.js';
import {type CoverageCheck, coverageCheck} from '../../calibration/risk/coverage-check.js';
import {type CalibrationCost, fullDepthCost} from '../../calibration/risk/losses.js';
import {readEvaluation} from '../../node/runs/evaluation-folder.js';
import {readRecordings} from '../../node/runs/read-shards.js';
import {UsageError} from '../../runtime/errors.js';

/** The largest mean cost of an item. */
export interface Budget {
  readonly cost: CalibrationCost;
  readonly most: number;
  /** Whether `most` is a fraction of the cost of full depth. */
  readonly relative: boolean;
}

/** The budget in units of its cost: layers, multiply-accumulates or milliseconds an item. */
export function absoluteBudget(
  {cost, most, relative}: Budget,
  replay: PolicyReplay,
): {readonly cost: CalibrationCost; readonly most: number} {
  return {cost, most: relative ? most * fullDepthCost(replay, cost) : most};
}

/**
 * Milliseconds of a layer on this machine, learnt from evaluations that were timed on it.
 * @param folders of evaluations of the recording's model and task
 * @throws UsageError `timings-missing`, `timings-differ`; InputError for a folder that is no evaluation
 */
export async function timedLayers(
  folders: readonly string[] | undefined,
  {stacks, model, task}: SettingTarget,
): Promise<LayerMilliseconds> {
  if (folders === undefined)
    throw new UsageError('timings-missing', 'milliseconds are not in a recording: they depend on the machine', {
      hint: 'Name evaluations of this machine, with and without exits: --timings FOLDER FOLDER.',
    });
  const runs = await Promise.all(folders.map(readEvaluation));
  for (const [i, {run}] of runs.entries()) {
    if (run.model.sha256 !== model || run.task !== task)
      throw new UsageError(
        'timings-differ',
        `--timings ${folders[i]} is an evaluation of another model or task than the recording`,
      );
  }
  const devices = new Set(runs.map(({run}) => `${run.device} ${run.threads}`));
  if (devices.size > 1)
    throw new UsageError(
      'timings-differ',
      `--timings: the evaluations ran on different devices: ${[...devices].join(', ')}`,
    );
  return layerMilliseconds(
    runs.flatMap(({rows}) => rows),
    stacks,
  );
}

/**
 * Calibrates again and again on samples of a pool, and counts how often the promise is broken.
 * @param replay of the recording, whose size is that of a sample
 * @param others further recordings of the pool, by their files
 */
export function checkCoverage(
  {recording, pictures}: PolicyReplay,
  others: readonly string[],
  options: CalibrationOptions & {readonly goal: {readonly maxDrop: number}},
  samples: number,
  ms: LayerMilliseconds | undefined,
): CoverageCheck {
  const pool = others.reduce((all, file) => mergeRecordings(all, readRecordings([file]).recording), recording);
  const n = options.unit === 'item' ? recording.n : new Set(pictures).size;
  const {head, seed} = options;
  return coverageCheck(new PolicyReplay(pool, {head, seed, ms}), options, {samples, n});
}
