import type {Command} from 'commander';
import {addExitOptions, addModelOptions, type ExitFlags, type ModelFlags} from './model-options.js';

/** How answers about pictures are printed. */
export interface PrintFlags {
  readonly json?: boolean;
  readonly jsonl?: boolean;
  readonly trace?: boolean;
}

export interface AnswerFlags extends ModelFlags, ExitFlags, PrintFlags {}

/** What every command that answers about pictures takes. */
export function addAnswerOptions(command: Command): Command {
  addExitOptions(addModelOptions(command));
  return command
    .option('--json', 'one JSON object; an array of them for several pictures')
    .option('--jsonl', 'a JSON object a line, as soon as it is known')
    .option('--trace', 'add what was measured at every layer');
}
