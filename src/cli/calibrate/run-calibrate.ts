import type {SettingTarget} from '../../calibration/policy-setting.js';
import {mergeRecordings} from '../../calibration/recording/merge.js';
import {type LayerMilliseconds, layerMilliseconds} from '../../calibration/replay/layer-milliseconds.js';
import {PolicyReplay} from '../../calibration/replay/policy-replay.js';
import {type CalibrationOptions, calibrate} from '../../calibration/risk/calibrate.js';
import type {PlanCertificate} from '../../calibration/risk/certificate.js';
import {coverageCheck} from '../../calibration/risk/coverage-check.js';
import {type CalibrationCost, fullDepthCost} from '../../calibration/risk/losses.js';
import {settingText} from '../../calibration/sweep/text.js';
import {readEvaluation} from '../../node/runs/evaluation-folder.js';
import {readRecordings} from '../../node/runs/read-shards.js';
import {writeAtomic} from '../../node/runs/write-atomic.js';
import {InputError, throwIfAborted, UsageError} from '../../runtime/errors.js';
import type {CalibrateFlags} from './calibrate.js';
import type {CommandContext} from '../core/define-command.js';
import type {Output} from '../core/output.js';
import {parsePolicies} from './read-settings.js';
import {trainedHead} from './run-sweep.js';

/** Exit code 1, and no plan, if nothing can be certified or a promise check fails. */
export async function runCalibrate(
  [files]: readonly [string[]],
  flags: CalibrateFlags,
  {out, signal}: CommandContext,
): Promise<number> {
  const {maxDrop, budget, delta, risk, unit, cost, grid, seed, train} = flags;
  if ((maxDrop === undefined) === (budget === undefined))
    throw new UsageError(
      'goal',
      'calibrate: one goal is needed: --max-drop, such as 1%, or --budget, such as macs=60%',
    );
  const policies = parsePolicies(flags.policy, '--policy');
  if (policies.includes('linear-head') && train === undefined)
    throw new UsageError('head-untrained', "calibrate: 'linear-head' must learn from another recording", {
      hint: 'Name one with --train: what a head has learnt from says nothing about its errors.',
    });
  if (maxDrop === undefined && flags.checkSamples !== undefined)
    throw new UsageError('goal', '--check-samples checks the promise of --max-drop; a budget makes none');
  const {recording, sha256} = readRecordings(files);
  const ms = await timedLayers(flags, recording.header);
  const head = trainedHead(train, recording.header, seed);
  const replay = new PolicyReplay(recording, {seed, head, ms});
  const common = {delta, risk, unit, cost, policies, grid, seed, head};
  const goal: CalibrationOptions['goal'] = maxDrop === undefined ? {budget: absolute(replay, budget!)} : {maxDrop};
  const {plan, certificate} = calibrate(replay, {...common, goal}, sha256);
  throwIfAborted(signal);
  if (plan === undefined) throw nothing(certificate);
  writeAtomic(flags.out, `${JSON.stringify(plan, null, 2)}\n`);
  for (const line of text(certificate)) out.data(line);
  out.say(`${flags.out}: use it with --exit ${flags.out}`);
  if (flags.checkSamples === undefined || maxDrop === undefined) return 0;
  return check(
    recordingsOf(flags, recording),
    {...common, goal: {maxDrop}},
    {samples: flags.checkSamples, n: sampleSize(replay, unit)},
    ms,
    out,
  );
}

/** What a layer takes on this machine, where milliseconds are a cost. @throws UsageError, InputError */
async function timedLayers(
  {cost, budget, timings}: CalibrateFlags,
  {stacks, model, task}: SettingTarget,
): Promise<LayerMilliseconds | undefined> {
  if (cost !== 'ms' && budget?.cost !== 'ms') return undefined;
  if (timings === undefined)
    throw new UsageError('timings-missing', 'milliseconds are not in a recording: they depend on the machine', {
      hint: 'Name evaluations of this machine, with and without exits: --timings FOLDER FOLDER.',
    });
  const runs = await Promise.all(timings.map(readEvaluation));
  for (const [i, {run}] of runs.entries()) {
    if (run.model.sha256 !== model || run.task !== task)
      throw new UsageError(
        'timings-differ',
        `--timings ${timings[i]} is an evaluation of another model or task than the recording`,
      );
  }
  const devices = new Set(runs.map(({run}) => `${run.device} ${run.threads}`));
  if (devices.size > 1)
    throw new UsageError(
      'timings-differ',
      `--timings: the evaluations ran on different devices: ${[...devices].join(', ')}`,
    );
  return layerMilliseconds(
    runs.flatMap(({rows}) => rows),
    stacks,
  );
}

function recordingsOf(
  {checkData = []}: CalibrateFlags,
  recording: PolicyReplay['recording'],
): PolicyReplay['recording'] {
  return checkData.reduce((pool, file) => mergeRecordings(pool, readRecordings([file]).recording), recording);
}

function sampleSize({recording, pictures}: PolicyReplay, unit: CalibrationOptions['unit']): number {
  return unit === 'item' ? recording.n : new Set(pictures).size;
}

function check(
  pool: PolicyReplay['recording'],
  options: CalibrationOptions & {readonly goal: {readonly maxDrop: number}},
  size: {readonly samples: number; readonly n: number},
  ms: LayerMilliseconds | undefined,
  out: Output,
): number {
  const found = coverageCheck(new PolicyReplay(pool, {head: options.head, seed: options.seed, ms}), options, size);
  out.data(
    `promise: of ${found.samples} calibrations on ${found.n} drawn of ${found.pool} ${options.unit}s, ${found.violations} chose a plan with a risk ` +
      `above ${percent(found.alpha)}: ${percent(found.rate)}, at most ${percent(found.limit)} allowed: ${found.kept ? 'kept' : 'BROKEN'} ` +
      `(${found.certified} certified something; mean cost ${percent(found.meanCost)} of full depth)`,
  );
  return found.kept ? 0 : 1;
}

function absolute(
  replay: PolicyReplay,
  {cost, most, percent: relative}: NonNullable<CalibrateFlags['budget']>,
): {cost: CalibrationCost; most: number} {
  return {cost, most: relative ? most * fullDepthCost(replay, cost) : most};
}

function nothing({alpha, n2, itemsNeeded, unit, tested, budget, delta}: PlanCertificate): InputError {
  if (budget !== null)
    return new InputError('nothing-within-budget', `no candidate costs at most ${budget.most} ${budget.cost}`, {
      hint: 'Even the shallowest exits cost more: allow more, and mind that the picture encoder before the layers never exits.',
    });
  const safest = tested[0];
  const share = percent(alpha ?? 0);
  const seen =
    safest === undefined
      ? ''
      : ` (the safest candidate errs on ${percent(safest.risk)} of the ${n2} ${unit}s that test it, p = ${safest.pValue?.toPrecision(3)})`;
  const hint =
    itemsNeeded === null
      ? 'No number of items would do, were its risk what it is here: allow a larger drop.'
      : `With that risk the test needs about ${itemsNeeded} ${unit}s, hence a recording of ${2 * itemsNeeded}; or allow a larger drop.`;
  return new InputError(
    'nothing-certified',
    `nothing can be certified to lose at most ${share} with ${percent(1 - delta)} confidence${seen}`,
    {hint},
  );
}

function* text({
  chosen,
  expected,
  tested,
  alpha,
  delta,
  n1,
  n2,
  unit,
  riskUpperBound,
  risk,
  candidates,
  assumptions,
  ms,
}: PlanCertificate): Generator<string> {
  const name = risk === 'consistency' ? 'other answers than full depth' : 'right answers lost';
  yield `chosen of ${candidates}: ${settingText(chosen!.setting)}`;
  if (alpha !== null)
    yield `certified: ${name} at most ${percent(alpha)}, except with probability ${delta} (p = ${chosen!.pValue!.toPrecision(3)}, ${tested.length} tested in sequence; ${n1} ${unit}s chose, ${n2} tested)`;
  yield `seen in the test: ${percent(chosen!.risk)}; upper bound by itself ${percent(riskUpperBound!)}`;
  const {layers, etr, macs, accuracy, retention} = expected!;
  yield `expected: accuracy ${accuracy.toFixed(4)} (${percent(retention)} of full depth), layers ${[layers.image, layers.text, layers.decoder].map((x) => x.toFixed(2)).join('/')}, saves ${percent(etr)} of layers, ${percent(macs.saved)} of MACs; ${milliseconds(ms)}measure wall-clock with \`mue evaluate\``;
  yield assumptions;
}

function milliseconds(ms: PlanCertificate['ms']): string {
  if (ms === null || ms.expected === null) return '';
  const {rows, explained} = ms.layers;
  return `${ms.expected.toFixed(0)} ms by a fit to ${rows} timed rows (explains ${percent(explained)}); `;
}

function percent(x: number): string {
  return `${Number((100 * x).toPrecision(4))} %`;
}
