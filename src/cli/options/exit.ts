import fs from 'node:fs';
import {
  type ExitPlan,
  type ExitPlans,
  NEVER_PLAN,
  parsePlan,
  releasePlan,
  similarityPlan,
  type StackPlan,
  thresholdPlan,
} from '../../exit/plan.js';
import type {StackName} from '../../exit/policy.js';
import {writes} from '../../exit/stacks.js';
import {UsageError} from '../../runtime/errors.js';
import type {ExitChoice, TaskName} from '../../tasks/assistant.js';
import type {ExitFlags} from './model.js';

/**
 * What the exit options say together: any threshold replaces the plan; schedule, mode and skipped K/V given beside a plan change it.
 * @param plans the model's own, once it is loaded; without them only the options are checked
 * @throws UsageError for a plan that is missing or invalid
 */
export function exitChoice(flags: ExitFlags, task: TaskName, plans?: ExitPlans): ExitChoice {
  const {
    exit = 'model',
    img_thres: image,
    txt_thres: text,
    decoder_thres: decoder,
    thres,
    schedule,
    mode,
    skippedKv,
  } = flags;
  const three = image !== undefined || text !== undefined || decoder !== undefined;
  if (three || thres !== undefined) {
    if (flags.exit !== undefined)
      throw new UsageError('exit-twice', `--exit ${exit} and thresholds exclude each other`, {
        hint: 'Thresholds are a plan of their own: leave --exit out.',
      });
    if (three && thres !== undefined)
      throw new UsageError(
        'thresholds-twice',
        '--thres and --img_thres, --txt_thres, --decoder_thres exclude each other',
        {
          hint: 'Give all thresholds with --thres, by the names of the stacks.',
        },
      );
    const surroundings = {schedule, mode, skippedKv};
    return thres ? similarityPlan(thres, surroundings) : thresholdPlan({image, text, decoder, ...surroundings});
  }
  if (schedule === undefined && mode === undefined && skippedKv === undefined)
    return exit === 'model' || exit === 'never' || exit === 'release' ? exit : readPlan(exit, task);
  return change(namedPlan(exit, task, plans), flags);
}

function namedPlan(exit: string, task: TaskName, plans: ExitPlans | undefined): ExitPlan {
  if (exit === 'model') return plans?.plans[task] ?? NEVER_PLAN;
  if (exit === 'never') return NEVER_PLAN;
  return exit === 'release' ? releasePlan(task) : readPlan(exit, task);
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

/** Reference mode brings the release's caches and schedule along, unless the options say otherwise. */
function change(plan: ExitPlan, {schedule, mode, skippedKv}: ExitFlags): ExitPlan {
  const toReference = mode === 'reference' && plan.mode !== 'reference';
  const move = ([stack, own]: [string, StackPlan]): [string, StackPlan] => {
    const moved = schedule ?? (toReference && own.schedule === undefined ? 'release' : undefined);
    return [stack, moved && writes(stack as StackName) ? {...own, schedule: moved} : own];
  };
  return {
    ...plan,
    mode: mode ?? plan.mode,
    skippedKv: skippedKv ?? (toReference ? 'gap' : plan.skippedKv),
    stacks: Object.fromEntries(Object.entries(plan.stacks).map(move)),
  };
}
