import {type Command, Option} from 'commander';
import {runs} from '../core/define-command.js';
import {addGenerationOptions, type GenerationFlags} from '../options/generation.js';
import {addExitOptions, addModelOptions, type ExitFlags, type ModelFlags} from '../options/model.js';
import {wholeNumber} from '../options/values.js';

export interface EvaluateFlags extends ModelFlags, ExitFlags, GenerationFlags {
  readonly task: 'caption' | 'snli-ve' | 'vqa';
  readonly data: string;
  readonly out: string;
  readonly limit?: number;
  readonly shard?: string;
  readonly workers: number;
  readonly batch?: number;
  readonly images?: string;
  readonly columns?: string;
  readonly split?: string;
  readonly answers?: string;
  readonly warmup: number;
  readonly trace?: boolean;
  readonly json?: boolean;
}

export function registerEvaluate(program: Command): void {
  const command = program
    .command('evaluate')
    .description('Answer a data set and score the answers: quality, layers, MACs and milliseconds')
    .addOption(
      new Option('--task <name>', 'what is asked').choices(['caption', 'snli-ve', 'vqa']).makeOptionMandatory(),
    )
    .requiredOption(
      '--data <file>',
      'OFA TSV, JSON lines, Karpathy JSON, SNLI-VE JSON lines (each also .gz) or a folder of pictures',
    )
    .requiredOption(
      '--out <folder>',
      'predictions.jsonl, metrics.json and results; the same command goes on where it was stopped',
    );
  addGenerationOptions(addExitOptions(addModelOptions(command)))
    .option('--limit <n>', 'only the first rows', wholeNumber(1))
    .option(
      '--shard <i/n>',
      'every n-th row from the i-th (from 0), into a folder of its own in --out (default: from the job array)',
    )
    .option('--workers <n>', 'processes that share the rows', wholeNumber(1), 1)
    .option(
      '--batch <n>',
      'rows answered together, each with its own exits (default: 16 on cuda, else 1)',
      wholeNumber(1),
    )
    .option('--images <folder>', 'where the pictures are that the data names')
    .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols: 1,4,2")
    .option('--split <name>', 'the split of a Karpathy file')
    .option('--answers <file>', 'vqa: the allowed answers, one a line')
    .option(
      '--warmup <n>',
      'answers of the first row that do not count, so that times do not contain compiling',
      wholeNumber(0),
      1,
    )
    .option('--trace', 'keep what was measured at every layer')
    .option('--json', 'print metrics.json');
  runs<readonly [], EvaluateFlags>(command, async () => (await import('./run-evaluate.js')).runEvaluate);
}
