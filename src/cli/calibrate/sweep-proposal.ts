import path from 'node:path';
import {parseCaptionRecording} from '../../calibration/recording/caption.js';
import {PolicyReplay} from '../../calibration/replay/policy-replay.js';
import {settingGrid} from '../../calibration/settings/grid.js';
import {
  CAPTION_POLICIES,
  captionProposal,
  promising,
  proposalCsv,
  proposalText,
} from '../../calibration/sweep/caption-proposal.js';
import {sweepRecording} from '../../calibration/sweep/sweep.js';
import {requireRows, type Shards} from '../../node/runs/read-shards.js';
import {throwIfAborted, UsageError} from '../../runtime/errors.js';
import type {CommandContext} from '../core/define-command.js';
import {readSettings, type SettingsChoice} from './read-settings.js';
import {type CaptionSource, runSettings} from './sweep-captions.js';
import {type SweepTarget, secondsSince, writeSweep} from './write-sweep.js';

/** The promising settings of a proposal: how many of each front, and the captions that they are run on, if any. */
export interface PromisingSettings {
  readonly most: number;
  readonly runOn?: CaptionSource;
}

/**
 * Replays a recording of captions, which proposes settings, and may run the promising ones.
 * @returns the exit code: 0, or 5 if rows to run were skipped
 */
export async function sweepCaptionRecording(
  shards: Shards,
  {file, policies, grid}: SettingsChoice,
  {most, runOn}: PromisingSettings,
  target: SweepTarget,
  context: CommandContext,
): Promise<number> {
  const {out, signal} = context;
  const {seed, cost} = target;
  const stranger = policies?.find((policy) => !CAPTION_POLICIES.includes(policy));
  if (stranger !== undefined)
    throw new UsageError(
      'policy-unknown',
      `--policies: '${stranger}' cannot be run on captions; ${CAPTION_POLICIES.join(', ')} can`,
    );
  const {recording, measures} = parseCaptionRecording(shards.header, shards.rows, shards.source);
  requireRows(shards);
  const replay = new PolicyReplay(recording, {seed, measures});
  const captions = shards.rows.length;
  out.say(`${recording.n} positions of ${captions} captions`);
  const settings =
    file === undefined
      ? settingGrid(replay, {count: grid, seed, policies: policies ?? CAPTION_POLICIES})
      : readSettings(file, policies);
  const start = performance.now();
  const sweep = sweepRecording(replay, settings, shards.sha256);
  throwIfAborted(signal);
  const proposal = captionProposal({...sweep, recording: {...sweep.recording, n: captions}});
  out.say(`${settings.length} settings replayed in ${secondsSince(start)} s`);
  // The folder itself is for settings that are run.
  const folder = runOn === undefined ? target.folder : path.join(target.folder, 'proposed');
  const settingsFrom = 'a replay of captions written at full depth: candidates';
  const files = writeSweep(folder, {
    csv: proposalCsv(proposal),
    json: {...proposal, settingsFrom},
    front: promising(proposal, most),
  });
  for (const line of proposalText(proposal, cost)) out.data(line);
  out.say(`${folder}: ${files}: estimates, all of them (exact: false)`);
  if (runOn) return await runSettings(promising(proposal, most), runOn, target, context);
  out.say(
    'Run the front for real: --run <data> here, or later ' +
      '`mue sweep --task caption --data <data> --thresholds front.json`.',
  );
  return 0;
}
