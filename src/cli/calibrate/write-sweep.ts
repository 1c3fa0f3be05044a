import path from 'node:path';
import {settingsText} from '../../calibration/settings/file.js';
import type {PolicySetting} from '../../calibration/policy-setting.js';
import {makeFolder} from '../../node/runs/evaluation-folder.js';
import {writeAtomic} from '../../node/runs/write-atomic.js';
import {WriterLock} from '../../node/runs/writer-lock.js';

/** Seconds since a reading of performance.now(), for people. */
export function secondsSince(start: number): string {
  return ((performance.now() - start) / 1e3).toFixed(2);
}

/** Where a sweep goes, and how it is summed up. */
export interface SweepTarget {
  readonly folder: string;
  /** Cost of the front that is printed, and of the verdicts. */
  readonly cost: 'layers' | 'macs';
  /** The claim that verdicts judge, a fraction of full depth's quality; default: that of the task. */
  readonly retention?: number;
  /** Confidence of the verdicts. */
  readonly level: number;
  /** Resamples of the bootstrap over images. */
  readonly resamples: number;
  readonly seed: number;
}

/** Contents of a sweep's folder. */
export interface SweepFiles {
  readonly csv: Iterable<string>;
  readonly json: object;
  /** Settings for --thresholds of another sweep: those on the fronts. */
  readonly front: readonly PolicySetting[];
  /** Settings that the verdicts judge. */
  readonly chosen?: readonly PolicySetting[];
}

/**
 * Writes the files of a sweep, sweep.json last: where it is, the others are.
 * @returns the names of the files, for people
 * @throws InputError `folder-in-use` if another process writes there; `cannot-write`
 */
export function writeSweep(folder: string, {csv, json, front, chosen}: SweepFiles): string {
  makeFolder(folder);
  using _lock = WriterLock.take(folder);
  const write = (name: string, content: string | Iterable<string>): void =>
    writeAtomic(path.join(folder, name), content);
  write('sweep.csv', csv);
  write('front.json', settingsText(front));
  if (chosen) write('chosen.json', settingsText(chosen));
  write('sweep.json', `${JSON.stringify(json)}\n`);
  return `sweep.csv, sweep.json, front.json${chosen ? ', chosen.json' : ''}`;
}
