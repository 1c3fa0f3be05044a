import {type Command, Option} from 'commander';
import {runs} from '../core/define-command.js';

export interface DataFlags {
  readonly task?: 'caption' | 'snli-ve' | 'vqa';
  readonly name?: string;
  readonly images?: string;
  readonly columns?: string;
  readonly split?: string;
  readonly scenes?: boolean;
  readonly json?: boolean;
}

export function registerData(program: Command): void {
  const command = program
    .command('data')
    .description(
      'Write a data set (OFA TSV, JSONL, Karpathy JSON, SNLI-VE, a folder) as JSON lines and a folder of pictures',
    )
    .argument('<source>', 'the data set')
    .argument('<out-dir>', 'the folder to write')
    .addOption(new Option('--task <name>', 'what the rows are for').choices(['caption', 'snli-ve', 'vqa']))
    .option('--name <name>', 'name of the JSON lines file (default: that of the source)')
    .option('--images <folder>', 'where the pictures of the source are')
    .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols: 1,4,2")
    .option('--split <name>', 'the split of a Karpathy file')
    .option('--scenes', 'the source is the folder of the scenes: convert all of its sets')
    .option('--json', 'the report as JSON');
  runs<readonly [string, string], DataFlags>(command, async () => (await import('./run-data.js')).runData);
}
