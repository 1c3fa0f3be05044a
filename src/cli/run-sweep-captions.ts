import path from 'node:path';
import {CaptionRuns, isStatic, sweepCaptions} from '../calibration/caption-sweep.js';
import {captionFrontText, captionSweepCsv, captionVerdictText} from '../calibration/caption-sweep-text.js';
import {captionVerdicts} from '../calibration/caption-verdicts.js';
import type {PolicySetting} from '../calibration/policy-setting.js';
import {SettingRunner} from '../calibration/run-settings.js';
import {parseRuns, type RunsHeader, runsRow, SETTING_RUNS} from '../calibration/setting-runs.js';
import {parseShard, shardName, WHOLE} from '../calibration/shard.js';
import {dataFingerprint} from '../node/data-fingerprint.js';
import {makeFolder} from '../node/evaluation-folder.js';
import {openDataset} from '../node/open-dataset.js';
import {readShards, requireRows, type Shards} from '../node/read-shards.js';
import {RowLog} from '../node/row-log.js';
import {writeAtomic} from '../node/write-atomic.js';
import {InputError, type MueError, throwIfAborted, UsageError} from '../runtime/errors.js';
import {captionSearcher} from '../tasks/caption-searcher.js';
import type {CommandContext} from './command.js';
import {loadFrom} from './load.js';
import {parsePolicies, readSettings} from './read-settings.js';
import {recordRows} from './record-rows.js';
import type {SweepFlags} from './sweep.js';

/** Runs the settings of --thresholds on captions for real, and sums up. @returns 5 if some rows were skipped */
export async function runSweepCaptions(flags: SweepFlags, context: CommandContext): Promise<number> {
  const {thresholds, policies} = flags;
  if (thresholds === undefined)
    throw new UsageError('settings-missing', 'captions are searched for setting by setting: --thresholds <file> says which', {
      hint: '{"points": [[image, text, decoder], …]}, or the front.json of another sweep.',
    });
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
  let failed = 0;
  const onBadRow = ({line, error}: {line: number; error: MueError}): void => {
    failed++;
    out.warn(`warning: line ${line} is skipped: ${error.message}`);
  };
  const {images, columns, split} = flags;
  const dataset = openDataset(data, {task: 'caption', images, columns, split, onBadRow});
  const {sha256} = await dataFingerprint(data, signal);
  makeFolder(folder);
  let rows: number;
  {
    const {mue} = await loadFrom(flags, out);
    using model = mue;
    const runner = new SettingRunner(captionSearcher(model), settings);
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
        return runsRow({index, id, imageId, references}, await runner.run(picture, signal));
      },
      onBadRow,
      out,
      signal,
    });
    out.say(`${file}: ${rows} rows${failed ? `, ${failed} skipped` : ''} after ${seconds(start)} s`);
  }
  if (rows === 0 && failed === 0 && shard.count === 1) throw new InputError('data-empty', `${data} has no rows`);
  if (shard.count > 1) out.say(`When all shards are there: mue sweep ${path.join(flags.out, 'shard-*', 'runs.jsonl')} --out ${flags.out}`);
  else sweepRuns(readShards([file]), flags, context);
  return failed > 0 ? 5 : 0;
}

/** Sums up runs: what other sweeps write, in --out. */
export function sweepRuns(shards: Shards, flags: SweepFlags, {out, signal}: CommandContext): void {
  const {cost, level, resamples, seed} = flags;
  const runs = parseRuns(shards.header, shards.rows, shards.source);
  requireRows(shards);
  const start = performance.now();
  const captions = new CaptionRuns(runs);
  const sweep = sweepCaptions(captions, shards.sha256);
  out.say(`${sweep.recording.n} captions of ${sweep.recording.pictures} pictures at ${runs.header.settings.length} settings, all run`);
  throwIfAborted(signal);
  const verdicts = captionVerdicts(captions, sweep, {claim: flags.retention ?? 0.96, level, resamples, seed});
  throwIfAborted(signal);
  makeFolder(flags.out);
  const file = (name: string): string => path.join(flags.out, name);
  const adaptive = runs.header.settings.filter((setting) => !isStatic(setting));
  const fixed = runs.header.settings.filter(isStatic);
  // Rivals go along, so that the same comparison can be made on other data.
  const rivals = new Set([...sweep.staticFronts.layers, ...sweep.staticFronts.macs]);
  const settingFile = (points: readonly number[]): string =>
    `${JSON.stringify({format: 'mue-settings', version: 1, points: [...[...new Set(points)].map((i) => adaptive[i]), ...[...rivals].map((i) => fixed[i])]}, null, 1)}\n`;
  const fronts = [sweep.fronts, ...Object.values(sweep.policyFronts)];
  writeAtomic(file('sweep.csv'), captionSweepCsv(sweep));
  writeAtomic(file('front.json'), settingFile(fronts.flatMap(({layers, macs}) => [...layers, ...macs])));
  writeAtomic(file('chosen.json'), settingFile(verdicts.map(({point}) => point)));
  writeAtomic(file('sweep.json'), `${JSON.stringify({...sweep, settingsFrom: 'given', level, resamples, seed, verdicts})}\n`);
  for (const line of captionFrontText(sweep, cost)) out.data(line);
  for (const verdict of verdicts) if (verdict.cost === cost) out.data(`verdict: ${captionVerdictText(verdict, sweep, level)}`);
  out.say(`${flags.out}: sweep.csv, sweep.json, front.json, chosen.json after ${seconds(start)} s`);
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1e3).toFixed(2);
}
