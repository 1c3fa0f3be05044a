import type {Command} from 'commander';
import {runs} from '../core/define-command.js';

export interface ReportFlags {
  readonly out: string;
  readonly title?: string;
}

export function registerReport(program: Command): void {
  const command = program
    .command('report')
    .description('One page of charts (and CSV, JSON, SVG) from evaluations, sweeps and calibrated plans')
    .argument(
      '<inputs...>',
      'folders of `mue evaluate` and `mue sweep`, plan.json files, or folders that hold such folders',
    )
    .requiredOption('--out <folder>', 'where to; files of an older report are replaced')
    .option('--title <text>', 'heading of the page');
  runs<readonly [string[]], ReportFlags>(command, async () => (await import('./run-report.js')).runReport);
}
