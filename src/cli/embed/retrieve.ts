import type {Command} from 'commander';
import {runs} from '../core/define-command.js';
import {addExitOptions, addModelOptions, type ExitFlags, type ModelFlags} from '../options/model.js';
import {collect, wholeNumber} from '../options/values.js';

export interface RetrieveFlags extends ModelFlags, ExitFlags {
  readonly embeddings?: readonly string[];
  readonly image?: string;
  readonly top: number;
  readonly data?: string;
  readonly recall: string;
  readonly limit?: number;
  readonly images?: string;
  readonly columns?: string;
  readonly split?: string;
  readonly json?: boolean;
}

export function registerRetrieve(program: Command): void {
  const command = program
    .command('retrieve')
    .description('Find pictures by what a text says or a picture shows; or measure recall on a data set (CoCa)')
    .argument('[texts...]', 'what to look for');
  addExitOptions(addModelOptions(command))
    .option(
      '--embeddings <path>',
      'what `mue embed --out` wrote, a folder or file; may be given again for each shard',
      collect,
    )
    .option('--image <file>', 'look for pictures like this one')
    .option('--top <n>', 'pictures that are shown', wholeNumber(1), 5)
    .option('--data <file>', 'measure recall in both directions on pictures with captions')
    .option('--recall <list>', 'the k of recall@k', '1,5,10')
    .option('--limit <n>', '--data: only the first pictures', wholeNumber(1))
    .option('--images <folder>', 'where the pictures are that the data names')
    .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols: 1,4,2")
    .option('--split <name>', 'the split of a Karpathy file')
    .option('--json', 'one JSON object; for queries a line each');
  runs<readonly [string[]], RetrieveFlags>(command, async () => (await import('./run-retrieve.js')).runRetrieve);
}
