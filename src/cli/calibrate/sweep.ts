import {type Command, Option} from 'commander';
import {runs} from '../core/define-command.js';
import {addModelOptions, type ModelFlags} from '../options/model.js';
import {share, wholeNumber} from '../options/values.js';

export interface SweepFlags extends ModelFlags {
  readonly task?: 'caption';
  readonly data?: string;
  readonly images?: string;
  readonly columns?: string;
  readonly split?: string;
  readonly limit?: number;
  readonly shard?: string;
  readonly run?: string;
  readonly points: number;
  readonly out: string;
  readonly policies?: string;
  readonly grid: number;
  readonly thresholds?: string;
  readonly train?: string;
  readonly cost: 'layers' | 'macs';
  readonly retention?: number;
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
}

export function registerSweep(program: Command): void {
  const command = program
    .command('sweep')
    .description(
      'Replay exit policies on a recording: quality, layers and MACs of thousands of thresholds in seconds. Captions depend on every word ' +
        'before: a recording of those proposes settings, --run runs the promising ones for real, --data those of --thresholds.',
    )
    .argument(
      '[recordings...]',
      'a recording of `mue record`, or its shards; or the runs.jsonl of caption settings that were run in shards',
    )
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
    .option(
      '--train <recording>',
      'what linear-head learns from; without it, halves of the pictures learn for each other',
    )
    .addOption(new Option('--cost <name>', 'of the front that is printed').choices(['layers', 'macs']).default('macs'))
    .option('--retention <x>', 'the claim that verdicts judge (default: 0.99, of captions 0.96)', share)
    .option('--level <x>', 'confidence of the verdicts', share, 0.95)
    .option('--resamples <n>', 'of the bootstrap over pictures', wholeNumber(1), 10_000)
    .option('--seed <n>', 'of the bootstrap and of training', wholeNumber(0), 0);
  addModelOptions(command)
    .addOption(new Option('--task <name>', 'what --data is for').choices(['caption']))
    .option(
      '--data <file>',
      'captions to run the settings of --thresholds on; the same command goes on where it was stopped',
    )
    .option('--run <file>', 'a recording of captions: run the promising settings of its replay on these captions')
    .option('--points <n>', 'settings of each front that are promising', wholeNumber(1), 12)
    .option('--images <folder>', 'where the pictures are that the data names')
    .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols")
    .option('--split <name>', 'the split of a Karpathy file')
    .option('--limit <n>', 'only the first rows of the data', wholeNumber(1))
    .option('--shard <i/n>', 'only the i-th of n parts of the pictures, from 0, into a folder of its own in --out');
  runs<readonly [string[]], SweepFlags>(command, async () => (await import('./run-sweep.js')).runSweep);
}
