import type {Command} from 'commander';
import {runs} from '../core/define-command.js';

export interface InspectFlags {
  readonly ema?: boolean;
  readonly tensors?: boolean;
  readonly json?: boolean;
}

export function registerInspect(program: Command): void {
  const command = program
    .command('inspect')
    .description('Show what is in a model folder or a checkpoint: configuration, parameters by part, shapes')
    .argument('[model]', 'a model folder or a checkpoint (default: the shipped scenes-mue)')
    .option('--ema', 'look at the moving average of the weights')
    .option('--no-tensors', 'leave out the list of tensors')
    .option('--json', 'everything as JSON');
  runs<readonly [string | undefined], InspectFlags>(command, async () => (await import('./run-inspect.js')).runInspect);
}
