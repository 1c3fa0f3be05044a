import {type Command, Option} from 'commander';
import {runs} from '../core/define-command.js';
import {addModelOptions, type ModelFlags} from '../options/model.js';
import {wholeNumber} from '../options/values.js';

export interface RecordFlags extends ModelFlags {
  readonly task: 'snli-ve' | 'caption';
  readonly data: string;
  readonly out: string;
  readonly images?: string;
  readonly columns?: string;
  readonly limit?: number;
  readonly shard?: string;
}

export function registerRecord(program: Command): void {
  const command = addModelOptions(
    program
      .command('record')
      .description(
        'Run a data set once and keep what every exit policy would have seen, for `mue sweep` and `mue calibrate`',
      )
      .addOption(
        new Option('--task <name>', 'what the rows are for').choices(['snli-ve', 'caption']).default('snli-ve'),
      )
      .requiredOption('--data <file>', 'the data set: JSON lines, OFA TSV, SNLI-VE or Karpathy JSON')
      .requiredOption('--out <file>', 'the recording; an unfinished one is gone on with')
      .option('--images <folder>', 'where the pictures are')
      .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols")
      .option('--limit <n>', 'only the first rows', wholeNumber(1))
      .option('--shard <i/n>', 'only the i-th of n parts, from 0'),
  );
  runs<readonly [], RecordFlags>(command, async () => (await import('./run-record.js')).runRecord);
}
