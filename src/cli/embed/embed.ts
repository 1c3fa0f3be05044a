import type {Command} from 'commander';
import {runs} from '../core/define-command.js';
import {addExitOptions, addModelOptions, type ExitFlags, type ModelFlags} from '../options/model.js';
import {wholeNumber} from '../options/values.js';

export interface EmbedFlags extends ModelFlags, ExitFlags {
  readonly text?: readonly string[];
  readonly data?: string;
  readonly out?: string;
  readonly shard?: string;
  readonly limit?: number;
  readonly images?: string;
  readonly columns?: string;
  readonly split?: string;
}

export function registerEmbed(program: Command): void {
  const command = program
    .command('embed')
    .description('Embeddings of pictures and texts: JSON lines of unit length (CoCa)')
    .argument('[images...]', 'picture files; - reads one from stdin');
  addExitOptions(addModelOptions(command))
    .option('--text <texts...>', 'texts')
    .option('--data <file>', 'the pictures of a data set or folder, into --out')
    .option('--out <folder>', 'embeddings.jsonl and embeddings.npy; the same command goes on where it was stopped')
    .option(
      '--shard <i/n>',
      'every n-th picture from the i-th (from 0), into a folder of its own in --out (default: from the job array)',
    )
    .option('--limit <n>', 'only the first pictures', wholeNumber(1))
    .option('--images <folder>', 'where the pictures are that the data names')
    .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols: 1,4,2")
    .option('--split <name>', 'the split of a Karpathy file');
  runs<readonly [string[]], EmbedFlags>(command, async () => (await import('./run-embed.js')).runEmbed);
}
