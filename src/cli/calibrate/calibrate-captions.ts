import path from 'node:path';
import {
  CaptionCalibration,
  type CaptionCalibrationOptions,
  captionParts,
  type CaptionRow,
} from '../../calibration/captions/caption-calibration.js';
import {
  calibrateRuns,
  captionCoverage,
  meanLayers,
  recordedRows,
  shuffledPictures,
} from '../../calibration/captions/recorded-runs.js';
import {calibrationRowSchema} from '../../calibration/captions/rows.js';
import {parseCaptionRecording} from '../../calibration/recording/caption.js';
import {PolicyReplay} from '../../calibration/replay/policy-replay.js';
import {settingGrid} from '../../calibration/settings/grid.js';
import {SettingRunner} from '../../calibration/settings/runner.js';
import {parseRuns} from '../../calibration/settings/runs.js';
import type {PolicySetting} from '../../calibration/policy-setting.js';
import {CAPTION_POLICIES, candidates, captionProposal} from '../../calibration/sweep/caption-proposal.js';
import {sweepRecording} from '../../calibration/sweep/sweep.js';
import type {Dataset, DatasetItem} from '../../data/dataset.js';
import {WHOLE} from '../../evaluation/shard.js';
import {dataFingerprint} from '../../node/dataset/fingerprint.js';
import {openDataset} from '../../node/dataset/open.js';
import {makeFolder} from '../../node/runs/evaluation-folder.js';
import {readShards, requireRows, type Shards} from '../../node/runs/read-shards.js';
import {RowLog} from '../../node/runs/row-log.js';
import {InputError, throwIfAborted} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {CommandContext} from '../core/define-command.js';
import {SkippedRows} from '../core/inputs.js';
import type {DatasetOptions} from '../options/dataset.js';
import {type ModelChoice, openModel} from '../options/model.js';
import {captionRecorder, refuseLearntRows} from './recorders.js';
import {recordRows} from './record-rows.js';
import {captionCertificateText, captionCoverageText, noCaptionsCertified} from './caption-certificate-text.js';

/** What to calibrate for, and where the plan goes. */
export interface CaptionGoal extends CaptionCalibrationOptions {
  /** Writes the plan. */
  readonly write: (plan: object) => void;
  readonly grid: number;
  readonly policies: readonly string[];
}

/** Captions to calibrate on. */
export interface CaptionData {
  readonly data: string;
  readonly dataset: DatasetOptions;
  readonly limit?: number;
  readonly model: ModelChoice;
  /** A folder for what is run, with which the same command goes on. */
  readonly runs: string;
  /** Most candidates. */
  readonly points: number;
  /** A recording of other pictures, which proposes candidates; by default some of the data are recorded. */
  readonly recording?: Shards;
  /** Minutes after which the pictures so far must do. */
  readonly minutes?: number;
}

/** Calibrates on settings that have been run on all pictures. @returns the exit code */
export function calibrateCaptionRuns(
  shards: Shards,
  goal: CaptionGoal,
  samples: number | undefined,
  {out, signal}: CommandContext,
): number {
  const runs = parseRuns(shards.header, shards.rows, shards.source);
  requireRows(shards);
  const rows = recordedRows(runs, goal.seed);
  const calibration = calibrateRuns(runs, rows, goal);
  finish(calibration, {data: runs.header.data, rows: shards.sha256}, goal, out);
  throwIfAborted(signal);
  if (samples === undefined) return 0;
  const check = captionCoverage(runs, rows, goal, samples);
  out.data(captionCoverageText(check, goal));
  return check.kept ? 0 : 1;
}

/** Runs candidates on captions until each is certified or given up. @returns the exit code */
export async function calibrateCaptions(
  source: CaptionData,
  goal: CaptionGoal,
  context: CommandContext,
): Promise<number> {
  const {out, signal} = context;
  const {maxDrop, delta, score, cost, seed, policies, grid} = goal;
  const skipped = new SkippedRows(out);
  const dataset = openDataset(source.data, {task: 'caption', ...source.dataset, onBadRow: skipped.onBadRow});
  const {sha256: data} = await dataFingerprint(source.data, signal);
  const pictures = shuffledPictures(await usable(dataset, source.limit, skipped), seed);
  const parts = captionParts(pictures.length);
  const opened = await openModel(source.model, out, signal);
  using model = opened.model;
  refuseLearntRows(model, 'caption', source.data, data);
  makeFolder(source.runs);
  const at = (name: string): string => path.join(source.runs, name);
  const common = {model, shard: WHOLE, onBadRow: skipped.onBadRow, ...context};
  const proposing =
    source.recording ??
    (await recorded(at('recording.jsonl'), model, data, listed(pictures.slice(0, parts.choose)), common));
  const settings = proposed(proposing, {policies, grid, seed, cost, most: source.points, others: 5 * maxDrop});
  const runner = new SettingRunner(model, settings);
  const calibration = new CaptionCalibration(runner.target, runner.settings, parts, goal);
  const header = {
    format: 'mue-caption-calibration',
    version: 1,
    ...runner.target,
    data,
    recording: proposing.sha256,
    generation: {...runner.generation},
    settings: runner.settings,
    pictures: pictures.length,
    ...{maxDrop, delta, score, cost, seed},
  };
  const file = at('calibration.jsonl');
  {
    using log = RowLog.open(file, header);
    for (const [i, row] of log.rows.entries()) calibration.add(calibrationRow(row, file, i));
    out.say(
      `${runner.settings.length - 1} candidates on ${pictures.length} pictures: ${parts.choose} choose and run all, ` +
        `${parts.test} test until each is decided`,
    );
    const ends = performance.now() + 60_000 * (source.minutes ?? Number.POSITIVE_INFINITY);
    let first = true;
    const wanted = async function* (): Dataset {
      for (const item of pictures) {
        if (calibration.wanted.length === 0) return;
        if (performance.now() > ends) {
          out.say(`${source.minutes} minutes are over: the pictures so far must do; the same command goes on`);
          return;
        }
        yield item;
      }
    };
    await recordRows({
      ...common,
      dataset: wanted(),
      log,
      row: async (states, {id, imageId, references = []}, index, signal) => {
        const start = performance.now();
        const numbers = calibration.wanted;
        const {searches, of} = await runner.run(states, signal, numbers);
        const captions: CaptionRow['captions'][number][] = runner.settings.map(() => null);
        for (const [k, s] of numbers.entries()) {
          const {text, macs, layers} = searches[of[k]!.search]!;
          const stacks = runner.target.stacks.map(({stack}) => layers[stack]!);
          captions[s] = {text, macs: macs.run + of[k]!.testMacs, layers: meanLayers(stacks)};
        }
        const row = {index, id, imageId, references, captions};
        calibration.add(row);
        if (first) {
          const minutes = ((performance.now() - start) * pictures.length) / 60_000;
          out.say(`at most ${Math.ceil(minutes)} minutes, by the first picture; less as candidates are decided`);
        }
        first = false;
        return row;
      },
    });
  }
  finish(calibration, {data, rows: readShards([file]).sha256}, goal, out);
  return skipped.exitCode;
}

/** Says what is certified and writes the plan. @throws InputError `nothing-certified` */
function finish(
  calibration: CaptionCalibration,
  sources: {readonly data: string; readonly rows: string},
  goal: CaptionGoal,
  out: CommandContext['out'],
): void {
  const {plan, certificate} = calibration.result(sources);
  if (plan === undefined) throw noCaptionsCertified(certificate, calibration.fewest);
  goal.write(plan);
  for (const line of captionCertificateText(certificate)) out.data(line);
}

/** Rows that have references, of at most the first `limit`. */
async function usable(dataset: Dataset, limit: number | undefined, skipped: SkippedRows): Promise<DatasetItem[]> {
  const items: DatasetItem[] = [];
  let seen = 0;
  for await (const item of dataset) {
    if (limit !== undefined && seen++ >= limit) break;
    if (item.references?.length) items.push(item);
    else
      skipped.onBadRow({
        line: item.line,
        error: new InputError('row-incomplete', 'a row to calibrate on needs reference captions'),
      });
  }
  return items;
}

async function* listed(items: readonly DatasetItem[]): Dataset {
  yield* items;
}

/** Records what every policy would have seen on some pictures, going on with what is there. */
async function recorded(
  file: string,
  model: VisionLanguagePipeline,
  data: string,
  dataset: Dataset,
  common: Omit<Parameters<typeof recordRows>[0], 'dataset' | 'log' | 'row'>,
): Promise<Shards> {
  const {header, row} = captionRecorder(model, data);
  {
    using log = RowLog.open(file, {...header});
    common.out.say(`${file}: recording the pictures that propose candidates`);
    await recordRows({...common, dataset, log, row});
  }
  return readShards([file]);
}

function proposed(
  shards: Shards,
  options: Pick<CaptionGoal, 'policies' | 'grid' | 'seed' | 'cost'> & {readonly most: number; readonly others: number},
): PolicySetting[] {
  const {policies, grid, seed, cost, most, others} = options;
  const {recording, measures} = parseCaptionRecording(shards.header, shards.rows, shards.source);
  requireRows(shards);
  const replay = new PolicyReplay(recording, {seed, measures});
  const own = policies.length > 0 ? policies : CAPTION_POLICIES;
  const settings = settingGrid(replay, {count: grid, seed, policies: own});
  return candidates(captionProposal(sweepRecording(replay, settings, shards.sha256)), cost, {most, others});
}

/** @throws InputError `recording-corrupt` */
function calibrationRow(row: unknown, file: string, i: number): CaptionRow {
  const parsed = calibrationRowSchema.safeParse(row);
  if (parsed.success) return parsed.data;
  throw new InputError('recording-corrupt', `${file}: row ${i + 1}: ${parsed.error.issues[0]?.message ?? ''}`, {
    hint: 'Delete the folder and begin again.',
  });
}
