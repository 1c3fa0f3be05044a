import fs from 'node:fs';
import {similarityPlan, thresholdPlan} from '../../exit/plan/presets.js';
import {type ExitPlan, type ExitPlans, parsePlan} from '../../exit/plan/schema.js';
import {UsageError} from '../../runtime/errors.js';
import type {ExitChoice, TaskName} from '../../tasks/exits.js';
import type {ExitFlags} from './model.js';

/**
 * The exit options together as one choice: any threshold replaces the plan; schedule, mode and skipped K/V given beside a plan
 * change it. Needs no model: `resolveExits` does the rest.
 * @throws UsageError for options that exclude each other, and for a plan that is missing or invalid
 */
export function parseExitOptions(options: ExitFlags, task: TaskName): ExitChoice {
  const {exit = 'model', img_thres: image, txt_thres: text, decoder_thres: decoder, thres} = options;
  const {schedule, mode, skippedKv} = options;
  const three = image !== undefined || text !== undefined || decoder !== undefined;
  if (three || thres !== undefined) {
    if (options.exit !== undefined)
      throw new UsageError('exit-twice', `--exit ${exit} and thresholds exclude each other`, {
        hint: 'Thresholds are a plan of their own: leave --exit out.',
      });
    if (three && thres !== undefined)
      throw new UsageError(
        'thresholds-twice',
        '--thres and --img_thres, --txt_thres, --decoder_thres exclude each other',
        {hint: 'Give all thresholds with --thres, by the names of the stacks.'},
      );
    const defaults = {schedule, mode, skippedKv};
    return thres ? similarityPlan(thres, defaults) : thresholdPlan({image, text, decoder, ...defaults});
  }
  const plan = exit === 'model' || exit === 'never' || exit === 'release' ? exit : readPlan(exit, task);
  const adjusted = schedule !== undefined || mode !== undefined || skippedKv !== undefined;
  return adjusted ? {plan, schedule, mode, skippedKv} : plan;
}

/** `parseExitOptions`, for callers that still hand the model's plans along. */
export function exitChoice(flags: ExitFlags, task: TaskName, _plans?: ExitPlans): ExitChoice {
  return parseExitOptions(flags, task);
}

function readPlan(file: string, task: TaskName): ExitPlan {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError('plan-missing', `--exit ${file}: the plan cannot be read: ${(cause as Error).message}`, {
      cause,
      hint: 'It is model, never, release, or the path of a plan that `mue calibrate` wrote.',
    });
  }
  return parsePlan(text, file, task);
}
