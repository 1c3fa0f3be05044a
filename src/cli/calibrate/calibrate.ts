import {InvalidArgumentError, Option} from '@commander-js/extra-typings';
import type {CalibrationOptions} from '../../calibration/risk/calibrate.js';
import {throwIfAborted, UsageError} from '../../runtime/errors.js';
import {schemaName} from '../../runtime/schema-name.js';
import {SENTENCE_SCORES} from '../../calibration/captions/sentence-scorer.js';
import type {Shards} from '../../node/runs/read-shards.js';
import {defineCommand} from '../core/define-command.js';
import {withDataset} from '../options/dataset.js';
import {modelChoice, withModel} from '../options/model.js';
import {finiteNumber, share, wholeNumber} from '../options/values.js';
import type {Budget} from './calibration-inputs.js';

const DEFAULT_POLICY = 'softmax-margin';

export const calibrate = defineCommand({
  name: 'calibrate',
  summary: 'Choose exit thresholds from a recording, with a guarantee of what they lose, as a plan for --exit',
  example: 'mue calibrate recording.jsonl --max-drop 1% --out plan.json',
  arguments: [
    [
      '[recordings...]',
      'a recording of calibration data, or its shards; never the data that results are reported on. Of captions: ' +
        'the runs.jsonl of `mue sweep`, or, with --data, a recording of other pictures that proposes candidates',
    ],
  ],
  options: (command) => {
    const chosen = command
      .requiredOption('--out <plan.json>', 'the plan; not written if nothing can be certified')
      .option('--max-drop <share>', 'the largest risk, such as 1% or 0.01', parseDrop)
      .option(
        '--budget <cost=most>',
        'instead: the least risk at layers=… (as MuE counts), macs=… or ms=…; with % of full depth',
        parseBudget,
      )
      .option('--delta <x>', 'probability with which the guarantee may fail', share, 0.05)
      .addOption(
        new Option('--risk <name>', 'items that become wrong, or items whose answer is not that of full depth')
          .choices(['quality-gap', 'consistency'])
          .default('quality-gap'),
      )
      .addOption(
        new Option('--unit <name>', 'what is taken for independent').choices(['item', 'picture']).default('item'),
      )
      .addOption(new Option('--cost <name>', 'what is to be saved').choices(['layers', 'macs', 'ms']).default('macs'))
      .option(
        '--timings <folders...>',
        'evaluations with and without exits on this machine, from which milliseconds a layer are learnt',
      )
      .option('--policy <list>', 'of the decoder, separated by commas; of captions by default all', DEFAULT_POLICY)
      .option('--grid <n>', 'thresholds a stack', wholeNumber(2), 10)
      .option('--train <recording>', 'what linear-head learns from')
      .option('--seed <n>', 'of the split', wholeNumber(0), 0)
      .option(
        '--check-samples <n>',
        'calibrate on so many samples drawn from the items, and count broken promises',
        wholeNumber(1),
      )
      .option(
        '--check-data <recordings...>',
        'further recordings of the same model, to draw those samples from as well',
      )
      .addOption(new Option('--task <name>', 'what --data is for').choices(['caption']))
      .option('--data <file>', 'captions to run candidates on, until each is certified or given up')
      .addOption(
        new Option('--score <name>', 'of captions: what may fall by --max-drop; of single captions, gains count')
          .choices(SENTENCE_SCORES)
          .default('rouge-l' as const),
      )
      .option('--points <n>', 'most candidates that captions are run with', wholeNumber(1), 10)
      .option('--runs <folder>', 'what was run, to go on with (default: beside the plan)')
      .option('--budget-minutes <n>', 'of captions: the pictures that were run by then must do', finiteNumber)
      .option('--limit <n>', 'only the first rows of the data', wholeNumber(1));
    return withModel(withDataset(chosen));
  },
  /** Exit code 1, and no plan, if nothing can be certified; 1, but with the plan, if the coverage check fails. */
  async run([files], options, context) {
    const {out, signal} = context;
    const {maxDrop, budget, delta, risk, unit, cost, timings, grid, seed, train, checkSamples, checkData} = options;
    if ((maxDrop === undefined) === (budget === undefined))
      throw new UsageError(
        'goal',
        'calibrate: one goal is needed: --max-drop, such as 1%, or --budget, such as macs=60%',
      );
    const {parsePolicies, trainedHead} = await import('./read-settings.js');
    const policies = parsePolicies(options.policy, '--policy');
    if (policies.includes('linear-head') && train === undefined)
      throw new UsageError('head-untrained', "calibrate: 'linear-head' must learn from another recording", {
        hint: 'Name one with --train: what a head has learnt from says nothing about its errors.',
      });
    if (maxDrop === undefined && checkSamples !== undefined)
      throw new UsageError('goal', '--check-samples checks the promise of --max-drop; a budget makes none');
    const {writeAtomic} = await import('../../node/runs/write-atomic.js');
    const write = (plan: object): void => {
      writeAtomic(options.out, `${JSON.stringify({$schema: schemaName('exit-plan'), ...plan}, null, 2)}\n`);
      out.say(`${options.out}: use it with --exit ${options.out}`);
    };
    const captions = await captionsOf(files, options.data);
    if (captions !== undefined) {
      if (maxDrop === undefined || cost === 'ms')
        throw new UsageError('goal', 'captions are calibrated for --max-drop, and --cost layers or macs');
      // The default policy of entailments stands for all of captions.
      const named = options.policy === DEFAULT_POLICY ? [] : policies;
      const goal = {maxDrop, delta, score: options.score, cost, seed, write, grid, policies: named};
      const {calibrateCaptionRuns, calibrateCaptions} = await import('./calibrate-captions.js');
      if (options.data === undefined) return calibrateCaptionRuns(captions!, goal, checkSamples, context);
      const {images, columns, split, limit, points, budgetMinutes: minutes} = options;
      const source = {
        data: options.data,
        dataset: {images, columns, split},
        limit,
        model: modelChoice(options),
        runs: options.runs ?? `${options.out.replace(/[.]json$/, '')}-runs`,
        points,
        recording: captions ?? undefined,
        minutes,
      };
      return await calibrateCaptions(source, goal, context);
    }
    const {calibrate} = await import('../../calibration/risk/calibrate.js');
    const {PolicyReplay} = await import('../../calibration/replay/policy-replay.js');
    const {readRecordings} = await import('../../node/runs/read-shards.js');
    const {absoluteBudget, checkCoverage, timedLayers} = await import('./calibration-inputs.js');
    const {certificateText, nothingChosen, coverageText} = await import('./certificate-text.js');
    const {recording, sha256} = readRecordings(files);
    const timed = cost === 'ms' || budget?.cost === 'ms';
    const ms = timed ? await timedLayers(timings, recording.header) : undefined;
    const head = trainedHead(train, recording.header, seed);
    const replay = new PolicyReplay(recording, {seed, head, ms});
    const common = {delta, risk, unit, cost, policies, grid, seed, head};
    const goal: CalibrationOptions['goal'] =
      maxDrop === undefined ? {budget: absoluteBudget(budget!, replay)} : {maxDrop};
    const {plan, certificate} = calibrate(replay, {...common, goal}, sha256);
    throwIfAborted(signal);
    if (plan === undefined) throw nothingChosen(certificate);
    write(plan);
    for (const line of certificateText(certificate)) out.data(line);
    if (checkSamples === undefined || maxDrop === undefined) return 0;
    const check = checkCoverage(replay, checkData ?? [], {...common, goal: {maxDrop}}, checkSamples, ms);
    out.data(coverageText(check, unit));
    return check.kept ? 0 : 1;
  },
});

/**
 * What speaks of captions: runs or a recording; null if --data stands alone.
 * @returns undefined for recordings of entailments
 */
async function captionsOf(files: readonly string[], data: string | undefined): Promise<Shards | null | undefined> {
  if (files.length === 0) {
    if (data !== undefined) return null;
    throw new UsageError(
      'nothing-to-calibrate',
      'a recording of `mue record` is needed, or --task caption --data <file> to run candidates on',
    );
  }
  const {readShards} = await import('../../node/runs/read-shards.js');
  const {CAPTION_RECORDING} = await import('../../calibration/recording/caption.js');
  const {hasFormat} = await import('../../calibration/recording/row-file.js');
  const {SETTING_RUNS} = await import('../../calibration/settings/runs.js');
  const shards = readShards(files);
  const recorded = hasFormat(shards.header, CAPTION_RECORDING);
  if (recorded && data === undefined)
    throw new UsageError(
      'captions-recorded',
      'a recording of captions only proposes candidates: other exits write other words',
      {hint: 'Name captions to run them on: --task caption --data <file>.'},
    );
  if (!recorded && data !== undefined)
    throw new UsageError('data-needless', '--data goes with a recording of captions, or stands alone');
  return recorded || hasFormat(shards.header, SETTING_RUNS) ? shards : undefined;
}

/** A fraction, or a percentage with its sign. */
function parseDrop(text: string): number {
  return share(String(text.trim().endsWith('%') ? finiteNumber(text.trim().slice(0, -1)) / 100 : text));
}

function parseBudget(text: string): Budget {
  const [name, amount, ...rest] = text.split('=');
  if ((name !== 'layers' && name !== 'macs' && name !== 'ms') || amount === undefined || rest.length > 0)
    throw new InvalidArgumentError('It must be layers=…, macs=… or ms=….');
  const relative = amount.trim().endsWith('%');
  const most = finiteNumber(relative ? amount.trim().slice(0, -1) : amount);
  if (most <= 0) throw new InvalidArgumentError('It must be above 0.');
  return {cost: name, most: relative ? most / 100 : most, relative};
}
