import {type Command, Option} from 'commander';
import {runs} from './command.js';
import {share, wholeNumber} from './option-values.js';

export interface SweepFlags {
  readonly out: string;
  readonly policies?: string;
  readonly grid: number;
  readonly thresholds?: string;
  readonly train?: string;
  readonly cost: 'layers' | 'macs';
  readonly retention: number;
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
}

export function registerSweep(program: Command): void {
  const command = program
    .command('sweep')
    .description('Replay exit policies on a recording: quality, layers and MACs of thousands of thresholds in seconds, all exact')
    .argument('<recordings...>', 'a recording of `mue record`, or its shards')
    .requiredOption(
      '--out <folder>',
      'where sweep.csv, sweep.json, front.json (the fronts of all policies) and chosen.json (what the verdicts judge) go',
    )
    .option('--policies <list>', 'of the decoder, separated by commas (default: all)')
    .option('--grid <n>', 'thresholds a stack, at quantiles of the scores in the recording', wholeNumber(2), 10)
    .option(
      '--thresholds <file>',
      'settings to replay instead: the sweep.json, front.json or chosen.json of other data, or {"points": [[image, text, decoder], …]}',
    )
    .option('--train <recording>', 'what linear-head learns from; without it, halves of the pictures learn for each other')
    .addOption(new Option('--cost <name>', 'of the front that is printed').choices(['layers', 'macs']).default('macs'))
    .option('--retention <x>', 'the claim that verdicts judge', share, 0.99)
    .option('--level <x>', 'confidence of the verdicts', share, 0.95)
    .option('--resamples <n>', 'of the bootstrap over pictures', wholeNumber(1), 10_000)
    .option('--seed <n>', 'of the bootstrap and of training', wholeNumber(0), 0);
  runs<readonly [string[]], SweepFlags>(command, async () => (await import('./run-sweep.js')).runSweep);
}
