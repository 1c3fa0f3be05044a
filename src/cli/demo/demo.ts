import type {Command} from 'commander';
import {runs} from '../core/define-command.js';
import {addModelOptions, type ModelFlags} from '../options/model.js';
import {wholeNumber} from '../options/values.js';

export interface DemoFlags extends ModelFlags {
  readonly out: string;
  readonly pictures?: number;
}

export function registerDemo(program: Command): void {
  const command = program
    .command('demo')
    .description('Caption and question the example pictures, at full depth and with early exit')
    .option('--out <file.html>', 'the page to write', 'demo.html')
    .option('--pictures <n>', 'only the first ones', wholeNumber(1));
  addModelOptions(command);
  runs<readonly [], DemoFlags>(command, async () => (await import('./run-demo.js')).runDemo);
}
