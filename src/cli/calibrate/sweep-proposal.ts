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
import {parsePolicies, readSettings} from './read-settings.js';
import {runSettings} from './sweep-captions.js';
import type {SweepFlags} from './sweep.js';
import {secondsSince, writeSweep} from './write-sweep.js';

/** Replays a recording of captions, which proposes settings, and with --run runs the promising ones. */
export async function sweepCaptionRecording(
  shards: Shards,
  flags: SweepFlags,
  context: CommandContext,
): Promise<number> {
  const {out, signal} = context;
  const {seed, cost, run, points: most} = flags;
  const policies = flags.policies === undefined ? CAPTION_POLICIES : parsePolicies(flags.policies, '--policies');
  const stranger = policies.find((policy) => !CAPTION_POLICIES.includes(policy));
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
    flags.thresholds === undefined
      ? settingGrid(replay, {count: flags.grid, seed, policies})
      : readSettings(flags.thresholds, flags.policies === undefined ? undefined : policies);
  const start = performance.now();
  const sweep = sweepRecording(replay, settings, shards.sha256);
  throwIfAborted(signal);
  const proposal = captionProposal({...sweep, recording: {...sweep.recording, n: captions}});
  out.say(`${settings.length} settings replayed in ${secondsSince(start)} s`);
  // What is run goes to --out itself.
  const folder = run === undefined ? flags.out : path.join(flags.out, 'proposed');
  const settingsFrom = 'a replay of captions written at full depth: candidates';
  const files = writeSweep(folder, {
    csv: proposalCsv(proposal),
    json: {...proposal, settingsFrom},
    front: promising(proposal, most),
  });
  for (const line of proposalText(proposal, cost)) out.data(line);
  out.say(`${folder}: ${files}: estimates, all of them (exact: false)`);
  if (run !== undefined) return await runSettings(promising(proposal, most), run, flags, context);
  out.say(
    'Run the front for real: --run <data> here, or later `mue sweep --task caption --data <data> --thresholds front.json`.',
  );
  return 0;
}
