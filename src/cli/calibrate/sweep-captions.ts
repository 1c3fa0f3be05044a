import path from 'node:path';
import {SettingRunner} from '../../calibration/settings/runner.js';
import {parseRuns, type RunsHeader, runsRow, SETTING_RUNS} from '../../calibration/settings/runs.js';
import type {PolicySetting} from '../../calibration/policy-setting.js';
import {parseShard, shardName, WHOLE} from '../../evaluation/shard.js';
import {captionFrontText, captionSweepCsv, captionVerdictText} from '../../calibration/sweep/caption-text.js';
import {CaptionRuns, isStatic, sweepCaptions} from '../../calibration/sweep/caption-sweep.js';
import {captionVerdicts} from '../../calibration/sweep/caption-verdicts.js';
import {frontPoints} from '../../calibration/sweep/sweep.js';
import {dataFingerprint} from '../../node/dataset/fingerprint.js';
import {makeFolder} from '../../node/runs/evaluation-folder.js';
import {openDataset} from '../../node/dataset/open.js';
import {readShards, requireRows, type Shards} from '../../node/runs/read-shards.js';
import {RowLog} from '../../node/runs/row-log.js';
import {InputError, throwIfAborted, UsageError} from '../../runtime/errors.js';
import type {CommandContext} from '../core/define-command.js';
import {loadFrom} from '../options/model.js';
import {SkippedRows} from '../core/skipped-rows.js';
import {parsePolicies, readSettings} from './read-settings.js';
import {recordRows} from './record-rows.js';
import type {SweepFlags} from './sweep.js';
import {secondsSince, writeSweep} from './write-sweep.js';

/** Runs the settings of --thresholds on captions for real, and sums up. @returns 5 if some rows were skipped */
export async function runSweepCaptions(flags: SweepFlags, context: CommandContext): Promise<number> {
  const {thresholds, policies} = flags;
  if (thresholds === undefined)
    throw new UsageError(
      'settings-missing',
      'captions are searched for setting by setting: --thresholds <file> says which',
      {
        hint: '{"points": [[image, text, decoder], …]}, or the front.json of another sweep.',
      },
    );
  const settings = readSettings(thresholds, policies === undefined ? undefined : parsePolicies(policies, '--policies'));
  return await runSettings(settings, flags.data!, flags, context);
}

/** Runs settings on the captions of a data set into the folder --out, going on with what is there, and sums up. */
export async function runSettings(
  settings: readonly PolicySetting[],
  data: string,
  flags: SweepFlags,
  context: CommandContext,
): Promise<number> {
  const {out, signal} = context;
  const shard = flags.shard === undefined ? WHOLE : parseShard(flags.shard);
  const folder = shard.count > 1 ? path.join(flags.out, shardName(shard)) : flags.out;
  const file = path.join(folder, 'runs.jsonl');
  const skipped = new SkippedRows(out);
  const {onBadRow} = skipped;
  const {images, columns, split} = flags;
  const dataset = openDataset(data, {task: 'caption', images, columns, split, onBadRow});
  const {sha256} = await dataFingerprint(data, signal);
  makeFolder(folder);
  let rows: number;
  {
    const {mue} = await loadFrom(flags, out);
    using model = mue;
    const runner = new SettingRunner(model, settings);
    const header: RunsHeader = {
      format: SETTING_RUNS,
      version: 1,
      ...runner.target,
      task: 'caption',
      data: sha256,
      generation: {...runner.generation},
      settings: runner.settings,
    };
    using log = RowLog.open(file, {...header});
    out.say(`${runner.settings.length} settings, full depth among them`);
    const start = performance.now();
    rows = await recordRows({
      mue: model,
      dataset,
      log,
      shard,
      limit: flags.limit,
      row: async (picture, {id, imageId, references}, index) => {
        if (!references?.length) throw new InputError('row-incomplete', 'a row to sweep needs reference captions');
        return runsRow({index, id, imageId, references}, await runner.run(picture, signal), runner.target.stacks);
      },
      onBadRow,
      out,
      signal,
    });
    out.say(`${file}: ${rows} rows${skipped.count ? `, ${skipped.count} skipped` : ''} after ${secondsSince(start)} s`);
  }
  if (rows === 0 && skipped.count === 0 && shard.count === 1) throw new InputError('data-empty', `${data} has no rows`);
  if (shard.count > 1)
    out.say(`When all shards are there: mue sweep ${path.join(flags.out, 'shard-*', 'runs.jsonl')} --out ${flags.out}`);
  else sweepRuns(readShards([file]), flags, context);
  return skipped.exitCode;
}

/** Sums up runs: what other sweeps write, in --out. */
export function sweepRuns(shards: Shards, flags: SweepFlags, {out, signal}: CommandContext): void {
  const {cost, level, resamples, seed} = flags;
  const runs = parseRuns(shards.header, shards.rows, shards.source);
  requireRows(shards);
  const start = performance.now();
  const captions = new CaptionRuns(runs);
  const sweep = sweepCaptions(captions, shards.sha256);
  out.say(
    `${sweep.recording.n} captions of ${sweep.recording.pictures} pictures at ${runs.header.settings.length} settings, all run`,
  );
  throwIfAborted(signal);
  const verdicts = captionVerdicts(captions, sweep, {claim: flags.retention ?? 0.96, level, resamples, seed});
  throwIfAborted(signal);
  const adaptive = runs.header.settings.filter((setting) => !isStatic(setting));
  const fixed = runs.header.settings.filter(isStatic);
  // Rivals go along, so that the same comparison can be made on other data.
  const rivals = [...sweep.staticFronts.layers, ...sweep.staticFronts.macs].map((i) => fixed[i]!);
  const files = writeSweep(flags.out, {
    csv: captionSweepCsv(sweep),
    json: {...sweep, settingsFrom: 'given', level, resamples, seed, verdicts},
    front: [...frontPoints(sweep).map((i) => adaptive[i]!), ...rivals],
    chosen: [...verdicts.map(({point}) => adaptive[point]!), ...rivals],
  });
  for (const line of captionFrontText(sweep, cost)) out.data(line);
  for (const verdict of verdicts)
    if (verdict.cost === cost) out.data(`verdict: ${captionVerdictText(verdict, sweep, level)}`);
  out.say(`${flags.out}: ${files} after ${secondsSince(start)} s`);
}
