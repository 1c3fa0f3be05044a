import path from 'node:path';
import {settingsText} from '../../calibration/settings/file.js';
import type {PolicySetting} from '../../calibration/policy-setting.js';
import {makeFolder} from '../../node/runs/evaluation-folder.js';
import {writeAtomic} from '../../node/runs/write-atomic.js';

/** Seconds since a reading of performance.now(), for people. */
export function secondsSince(start: number): string {
  return ((performance.now() - start) / 1e3).toFixed(2);
}

/** What a sweep leaves in its folder. */
export interface SweepFiles {
  readonly csv: Iterable<string>;
  readonly json: object;
  /** Settings for --thresholds of another sweep: those on the fronts, and those that verdicts judge. */
  readonly front: readonly PolicySetting[];
  readonly chosen?: readonly PolicySetting[];
}

/** @returns the names of the files, for people. @throws InputError `cannot-write` */
export function writeSweep(folder: string, {csv, json, front, chosen}: SweepFiles): string {
  makeFolder(folder);
  const write = (name: string, content: string | Iterable<string>): void =>
    writeAtomic(path.join(folder, name), content);
  write('sweep.csv', csv);
  write('front.json', settingsText(front));
  if (chosen) write('chosen.json', settingsText(chosen));
  // The last: where it is, the others are.
  write('sweep.json', `${JSON.stringify(json)}\n`);
  return `sweep.csv, sweep.json, front.json${chosen ? ', chosen.json' : ''}`;
}
