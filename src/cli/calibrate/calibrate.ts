import type {CalibrationCost} from '../../calibration/risk/losses.js';
import {type Command, InvalidArgumentError, Option} from 'commander';
import {runs} from '../core/define-command.js';
import {finiteNumber, share, wholeNumber} from '../options/values.js';

export interface CalibrateFlags {
  readonly out: string;
  readonly maxDrop?: number;
  readonly budget?: {readonly cost: CalibrationCost; readonly most: number; readonly percent: boolean};
  readonly delta: number;
  readonly risk: 'quality-gap' | 'consistency';
  readonly unit: 'item' | 'picture';
  readonly cost: CalibrationCost;
  readonly timings?: readonly string[];
  readonly policy: string;
  readonly grid: number;
  readonly train?: string;
  readonly seed: number;
  readonly checkSamples?: number;
  readonly checkData?: readonly string[];
}

export function registerCalibrate(program: Command): void {
  const command = program
    .command('calibrate')
    .description('Choose exit thresholds from a recording, with a guarantee of what they lose, as a plan for --exit')
    .argument(
      '<recordings...>',
      'a recording of calibration data, or its shards; never the data that results are reported on',
    )
    .requiredOption('--out <plan.json>', 'the plan; not written if nothing can be certified')
    .option('--max-drop <share>', 'the largest risk, such as 1% or 0.01', drop)
    .option(
      '--budget <cost=most>',
      'instead: the least risk at layers=… (as MuE counts), macs=… or ms=…; with % of full depth',
      budget,
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
    .option('--policy <list>', 'of the decoder, separated by commas', 'softmax-margin')
    .option('--grid <n>', 'thresholds a stack', wholeNumber(2), 10)
    .option('--train <recording>', 'what linear-head learns from')
    .option('--seed <n>', 'of the split', wholeNumber(0), 0)
    .option(
      '--check-samples <n>',
      'calibrate on so many samples drawn from the items, and count broken promises',
      wholeNumber(1),
    )
    .option('--check-data <recordings...>', 'further recordings of the same model, to draw those samples from as well');
  runs<readonly [string[]], CalibrateFlags>(command, async () => (await import('./run-calibrate.js')).runCalibrate);
}

function drop(text: string): number {
  return share(String(text.trim().endsWith('%') ? finiteNumber(text.trim().slice(0, -1)) / 100 : text));
}

function budget(text: string): NonNullable<CalibrateFlags['budget']> {
  const [name, amount, ...rest] = text.split('=');
  if ((name !== 'layers' && name !== 'macs' && name !== 'ms') || amount === undefined || rest.length > 0)
    throw new InvalidArgumentError('It must be layers=…, macs=… or ms=….');
  const percent = amount.trim().endsWith('%');
  const most = finiteNumber(percent ? amount.trim().slice(0, -1) : amount);
  if (most <= 0) throw new InvalidArgumentError('It must be above 0.');
  return {cost: name, most: percent ? most / 100 : most, percent};
}
