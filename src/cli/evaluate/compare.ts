import type {Command} from 'commander';
import {runs} from '../core/define-command.js';
import {share, wholeNumber} from '../options/values.js';

export interface CompareFlags {
  readonly retention?: number;
  readonly saving?: number;
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
  readonly json?: boolean;
}

export function registerCompare(program: Command): void {
  const command = program
    .command('compare')
    .description('What one evaluation keeps of the quality of another and saves of its cost, with bootstrap intervals')
    .argument('<early>', 'folder of the evaluation with exits')
    .argument('<full>', 'folder of the one it is measured against, on the same data')
    .option('--retention <x>', 'a claim to judge: the share of the quality that is kept, such as 0.99', share)
    .option('--saving <x>', 'a claim to judge: the share of the cost that is saved, such as 0.5', share)
    .option('--level <x>', 'confidence', share, 0.95)
    .option('--resamples <n>', 'of the bootstrap', wholeNumber(1), 10_000)
    .option('--seed <n>', 'of the bootstrap', wholeNumber(0), 0)
    .option('--json', 'all numbers as JSON');
  runs<readonly [string, string], CompareFlags>(command, async () => (await import('./run-compare.js')).runCompare);
}
