import {PolicyReplay} from '../../calibration/replay/policy-replay.js';
import {settingGrid} from '../../calibration/settings/grid.js';
import {frontPoints, sweepRecording} from '../../calibration/sweep/sweep.js';
import {frontText, sweepCsv, verdictText} from '../../calibration/sweep/text.js';
import {sweepVerdicts} from '../../calibration/sweep/verdicts.js';
import {recordingOf} from '../../node/runs/read-shards.js';
import type {Shards} from '../../node/runs/read-shards.js';
import {throwIfAborted} from '../../runtime/errors.js';
import type {CommandContext} from '../core/define-command.js';
import {readSettings, type SettingsChoice, trainedHead} from './read-settings.js';
import {type SweepTarget, secondsSince, writeSweep} from './write-sweep.js';

/**
 * Replays settings on a recording of entailments, which is exact, and sums up.
 * @param train recording that `linear-head` learns from; default: halves of the images learn for each other
 */
export function sweepEntailment(
  shards: Shards,
  {file, policies, grid}: SettingsChoice,
  train: string | undefined,
  {folder, cost, retention = 0.99, level, resamples, seed}: SweepTarget,
  {out, signal}: CommandContext,
): void {
  const start = performance.now();
  const {recording, sha256} = recordingOf(shards);
  const replay = new PolicyReplay(recording, {seed, head: trainedHead(train, recording.header, seed)});
  out.say(`${recording.n} items of ${new Set(replay.pictures).size} pictures`);
  const settings =
    file === undefined ? settingGrid(replay, {count: grid, seed, policies}) : readSettings(file, policies);
  const replayed = performance.now();
  const sweep = sweepRecording(replay, settings, sha256);
  out.say(`${settings.length} settings replayed in ${secondsSince(replayed)} s`);
  throwIfAborted(signal);
  const resampled = performance.now();
  const verdicts = sweepVerdicts(replay, sweep, {claim: retention, level, resamples, seed});
  out.say(`${verdicts.length} verdicts of ${resamples} resamples in ${secondsSince(resampled)} s`);
  throwIfAborted(signal);
  // Thresholds that were given are no choice of this data.
  const settingsFrom = file === undefined ? 'this recording' : 'given';
  const training = train === undefined ? 'two halves of the pictures, each for the other' : 'another recording';
  const files = writeSweep(folder, {
    csv: sweepCsv(sweep),
    json: {...sweep, settingsFrom, training, level, resamples, seed, verdicts},
    front: frontPoints(sweep).map((i) => settings[i]!),
    chosen: verdicts.map(({point}) => settings[point]!),
  });
  for (const line of frontText(sweep, cost)) out.data(line);
  for (const verdict of verdicts) if (verdict.cost === cost) out.data(`verdict: ${verdictText(verdict, sweep, level)}`);
  if (file === undefined)
    out.say(
      'Thresholds and points were chosen on this recording: replay chosen.json or front.json on other data ' +
        '(--thresholds) before you claim them.',
    );
  out.say(`${folder}: ${files} after ${secondsSince(start)} s`);
}
