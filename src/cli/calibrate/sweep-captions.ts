import path from 'node:path';
import {SettingRunner} from '../../calibration/settings/runner.js';
import {parseRuns, type RunsHeader, runsRow, SETTING_RUNS} from '../../calibration/settings/runs.js';
import type {PolicySetting} from '../../calibration/policy-setting.js';
import type {Shard} from '../../evaluation/shard.js';
import {captionFrontText, captionSweepCsv, captionVerdictText} from '../../calibration/sweep/caption-text.js';
import {CaptionRuns, isStatic, sweepCaptions} from '../../calibration/sweep/caption-sweep.js';
import {captionVerdicts} from '../../calibration/sweep/caption-verdicts.js';
import {frontPoints} from '../../calibration/sweep/sweep.js';
import {dataFingerprint} from '../../node/dataset/fingerprint.js';
import {makeFolder} from '../../node/runs/evaluation-folder.js';
import {openDataset} from '../../node/dataset/open.js';
import {readShards, requireRows, type Shards} from '../../node/runs/read-shards.js';
import {RowLog} from '../../node/runs/row-log.js';
import {shardFolder} from '../../node/runs/shard-folder.js';
import {InputError, throwIfAborted} from '../../runtime/errors.js';
import type {CommandContext} from '../core/define-command.js';
import {SkippedRows} from '../core/inputs.js';
import type {DatasetOptions} from '../options/dataset.js';
import {type ModelChoice, openModel} from '../options/model.js';
import {recordRows} from './record-rows.js';
import {type SweepTarget, secondsSince, writeSweep} from './write-sweep.js';

const RUNS = 'runs.jsonl';

/** Captions of a data set that settings are run on, and the model that runs them. */
export interface CaptionSource {
  /** File or folder of the data set. */
  readonly data: string;
  /** How the data set is read. */
  readonly dataset: DatasetOptions;
  /** Only the first rows. */
  readonly limit?: number;
  /** A part of the images; one of several goes to a folder of its own. */
  readonly shard: Shard;
  readonly model: ModelChoice;
}

/**
 * Runs settings on the captions of a data set into a folder, going on with what is there, and sums up.
 * @returns the exit code: 0, or 5 if some rows were skipped
 */
export async function runSettings(
  settings: readonly PolicySetting[],
  {data, dataset: reading, limit, shard, model: choice}: CaptionSource,
  target: SweepTarget,
  context: CommandContext,
): Promise<number> {
  const {out, signal} = context;
  const folder = shardFolder(target.folder, shard, RUNS);
  const file = path.join(folder, RUNS);
  const skipped = new SkippedRows(out);
  const {onBadRow} = skipped;
  const dataset = openDataset(data, {task: 'caption', ...reading, onBadRow});
  const {sha256} = await dataFingerprint(data, signal);
  makeFolder(folder);
  let rows: number;
  {
    const opened = await openModel(choice, out, signal);
    using model = opened.model;
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
      model,
      dataset,
      log,
      shard,
      limit,
      row: async (states, {id, imageId, references}, index) => {
        if (!references?.length) throw new InputError('row-incomplete', 'a row to sweep needs reference captions');
        return runsRow({index, id, imageId, references}, await runner.run(states, signal), runner.target.stacks);
      },
      onBadRow,
      out,
      signal,
    });
    out.say(`${file}: ${rows} rows${skipped.count ? `, ${skipped.count} skipped` : ''} after ${secondsSince(start)} s`);
  }
  if (rows === 0 && skipped.count === 0 && shard.count === 1) throw new InputError('data-empty', `${data} has no rows`);
  if (shard.count > 1) {
    const all = path.join(target.folder, 'shard-*', RUNS);
    out.say(`When all shards are there: mue sweep ${all} --out ${target.folder}`);
  } else sweepRuns(readShards([file]), target, context);
  return skipped.exitCode;
}

/** Sums up runs of settings: what other sweeps write. */
export function sweepRuns(
  shards: Shards,
  {folder, cost, retention = 0.96, level, resamples, seed}: SweepTarget,
  {out, signal}: CommandContext,
): void {
  const runs = parseRuns(shards.header, shards.rows, shards.source);
  requireRows(shards);
  const start = performance.now();
  const captions = new CaptionRuns(runs);
  const sweep = sweepCaptions(captions, shards.sha256);
  const {n, pictures} = sweep.recording;
  out.say(`${n} captions of ${pictures} pictures at ${runs.header.settings.length} settings, all run`);
  throwIfAborted(signal);
  const verdicts = captionVerdicts(captions, sweep, {claim: retention, level, resamples, seed});
  throwIfAborted(signal);
  const adaptive = runs.header.settings.filter((setting) => !isStatic(setting));
  const fixed = runs.header.settings.filter(isStatic);
  // Rivals go along, so that the same comparison can be made on other data.
  const rivals = [...sweep.staticFronts.layers, ...sweep.staticFronts.macs].map((i) => fixed[i]!);
  const files = writeSweep(folder, {
    csv: captionSweepCsv(sweep),
    json: {...sweep, settingsFrom: 'given', level, resamples, seed, verdicts},
    front: [...frontPoints(sweep).map((i) => adaptive[i]!), ...rivals],
    chosen: [...verdicts.map(({point}) => adaptive[point]!), ...rivals],
  });
  for (const line of captionFrontText(sweep, cost)) out.data(line);
  for (const verdict of verdicts)
    if (verdict.cost === cost) out.data(`verdict: ${captionVerdictText(verdict, sweep, level)}`);
  out.say(`${folder}: ${files} after ${secondsSince(start)} s`);
}
