import type {Command} from 'commander';
import {runs} from '../core/define-command.js';

export interface MergeFlags {
  readonly out: string;
  readonly json?: boolean;
}

export function registerMerge(program: Command): void {
  const command = program
    .command('merge')
    .description('Put the shards of an evaluation together; the result is that of one run')
    .argument('<folders...>', 'folders of the shards, or the folder that holds them')
    .requiredOption('--out <folder>', 'where to; may be the folder that holds the shards')
    .option('--json', 'print metrics.json');
  runs<readonly [string[]], MergeFlags>(command, async () => (await import('./run-merge.js')).runMerge);
}
