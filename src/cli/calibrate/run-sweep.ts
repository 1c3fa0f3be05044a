import {CAPTION_RECORDING} from '../../calibration/recording/caption.js';
import {hasFormat} from '../../calibration/recording/row-file.js';
import {decoderHead} from '../../calibration/replay/decoder-head.js';
import {PolicyReplay} from '../../calibration/replay/policy-replay.js';
import {settingGrid} from '../../calibration/settings/grid.js';
import {SETTING_RUNS} from '../../calibration/settings/runs.js';
import type {PolicySetting} from '../../calibration/policy-setting.js';
import {frontText, sweepCsv, verdictText} from '../../calibration/sweep/text.js';
import {sweepVerdicts} from '../../calibration/sweep/verdicts.js';
import {frontPoints, sweepRecording} from '../../calibration/sweep/sweep.js';
import type {LinearHead} from '../../exit/policies/linear-head.js';
import {readRecordings, readShards, recordingOf, type Shards} from '../../node/runs/read-shards.js';
import {throwIfAborted, UsageError} from '../../runtime/errors.js';
import type {CommandContext} from '../core/define-command.js';
import {parsePolicies, readSettings} from './read-settings.js';
import {runSweepCaptions, sweepRuns} from './sweep-captions.js';
import {sweepCaptionRecording} from './sweep-proposal.js';
import type {SweepFlags} from './sweep.js';
import {secondsSince, writeSweep} from './write-sweep.js';

export async function runSweep(
  [files]: readonly [string[]],
  flags: SweepFlags,
  context: CommandContext,
): Promise<number> {
  if (files.length === 0) {
    if (flags.data !== undefined) return await runSweepCaptions(flags, context);
    throw new UsageError(
      'nothing-to-sweep',
      'a recording of `mue record` is needed, or --task caption --data <file> to run settings on',
    );
  }
  const shards = readShards(files);
  if (hasFormat(shards.header, CAPTION_RECORDING)) return await sweepCaptionRecording(shards, flags, context);
  if (flags.run !== undefined)
    throw new UsageError('run-needless', '--run is for recordings of captions: what is replayed here is exact already');
  if (hasFormat(shards.header, SETTING_RUNS)) sweepRuns(shards, flags, context);
  else sweepEntailment(shards, flags, context);
  return 0;
}

function sweepEntailment(shards: Shards, flags: SweepFlags, {out, signal}: CommandContext): void {
  const start = performance.now();
  const {recording, sha256} = recordingOf(shards);
  const {seed, cost, level, resamples} = flags;
  const replay = new PolicyReplay(recording, {seed, head: trainedHead(flags.train, recording.header, seed)});
  out.say(`${recording.n} items of ${new Set(replay.pictures).size} pictures`);
  const settings = chosenSettings(replay, flags);
  const from = performance.now();
  const sweep = sweepRecording(replay, settings, sha256);
  out.say(`${settings.length} settings replayed in ${secondsSince(from)} s`);
  throwIfAborted(signal);
  const resampled = performance.now();
  const verdicts = sweepVerdicts(replay, sweep, {claim: flags.retention ?? 0.99, level, resamples, seed});
  out.say(`${verdicts.length} verdicts of ${resamples} resamples in ${secondsSince(resampled)} s`);
  throwIfAborted(signal);
  // Thresholds that were given are no choice of this data.
  const settingsFrom = flags.thresholds === undefined ? 'this recording' : 'given';
  const training = flags.train === undefined ? 'two halves of the pictures, each for the other' : 'another recording';
  const files = writeSweep(flags.out, {
    csv: sweepCsv(sweep),
    json: {...sweep, settingsFrom, training, level, resamples, seed, verdicts},
    front: frontPoints(sweep).map((i) => settings[i]!),
    chosen: verdicts.map(({point}) => settings[point]!),
  });
  for (const line of frontText(sweep, cost)) out.data(line);
  for (const verdict of verdicts) if (verdict.cost === cost) out.data(`verdict: ${verdictText(verdict, sweep, level)}`);
  if (flags.thresholds === undefined)
    out.say(
      'Thresholds and points were chosen on this recording: replay chosen.json or front.json on other data (--thresholds) before you claim them.',
    );
  out.say(`${flags.out}: ${files} after ${secondsSince(start)} s`);
}

/** What `linear-head` learns from another recording. @throws UsageError `train-mismatch` if it is of another model */
export function trainedHead(
  file: string | undefined,
  header: {readonly model: string},
  seed: number,
): LinearHead | undefined {
  if (file === undefined) return undefined;
  const {recording} = readRecordings([file]);
  if (recording.header.model !== header.model)
    throw new UsageError('train-mismatch', `--train ${file} was recorded with another model`, {
      hint: 'A head reads scores of one model only.',
    });
  const {measures} = new PolicyReplay(recording);
  return decoderHead(
    measures,
    Array.from({length: recording.n}, (_, i) => i),
    seed,
  );
}

function chosenSettings(replay: PolicyReplay, {thresholds: file, policies, grid, seed}: SweepFlags): PolicySetting[] {
  const names = policies === undefined ? undefined : parsePolicies(policies, '--policies');
  if (file === undefined) return settingGrid(replay, {count: grid, seed, ...(names ? {policies: names} : {})});
  return readSettings(file, names);
}
