import {UsageError} from '../../runtime/errors.js';
import type {TaskName} from '../../tasks/exits.js';
import {type OptionsOf, optionGroup} from '../core/define-command.js';
import type {PrintFormat} from '../core/output.js';
import {type PlanChoice, parseExitOptions, withExits} from './exit.js';
import {type ModelChoice, modelChoice, withModel} from './model.js';

/** Options of every command that answers about images: model, exits, and how answers are printed. */
export const withAnswer = optionGroup((command) =>
  withExits(withModel(command))
    .option('--json', 'one JSON object; an array of them for several pictures')
    .option('--jsonl', 'a JSON object a line, as soon as it is known')
    .option('--trace', 'add what was measured at every layer'),
);
export type AnswerCommandOptions = OptionsOf<typeof withAnswer>;

/** Settings that all answers of a command share. */
export interface AnswerSettings {
  readonly task: TaskName;
  readonly model: ModelChoice;
  readonly exit: PlanChoice;
  readonly format: PrintFormat;
  /** Print what was measured at every layer. */
  readonly trace: boolean;
}

/** @throws UsageError for options that exclude each other, and for a plan that is missing or invalid */
export async function answerSettings(task: TaskName, options: AnswerCommandOptions): Promise<AnswerSettings> {
  const {json, jsonl, trace = false} = options;
  if (json && jsonl) throw new UsageError('json-twice', '--json and --jsonl exclude each other');
  const exit = await parseExitOptions(options, task);
  return {task, model: modelChoice(options), exit, format: json ? 'json' : jsonl ? 'jsonl' : 'text', trace};
}
