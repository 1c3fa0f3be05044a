import {type ExitPlan, type ExitPlans, NEVER_PLAN, planPolicy, releasePlan} from '../exit/plan.js';
import type {StackName} from '../exit/policy.js';
import {UsageError} from '../runtime/errors.js';
import type {ExitChoice, Exits, TaskName} from './assistant.js';

/** What decides whether a plan fits. */
export interface PlanContext {
  readonly stacks: Readonly<Partial<Record<StackName, number>>>;
  readonly plans?: ExitPlans | undefined;
  readonly sha256?: string | undefined;
}

/** The policy and its surroundings for one answer. @throws UsageError for a plan that does not fit the model or task */
export function chosenExits(task: TaskName, choice: ExitChoice | undefined, {stacks, plans, sha256}: PlanContext): Exits {
  if (typeof choice === 'object' && 'policy' in choice) return {mode: 'corrected', skippedKv: 'project', ...choice};
  const plan = typeof choice === 'object' ? choice : namedPlan(task, choice ?? 'model', plans);
  if (plan.model && sha256 && plan.model !== sha256) {
    throw new UsageError(
      'plan-model',
      `the exit plan was made for the weights ${plan.model.slice(0, 12)}…, but these are ${sha256.slice(0, 12)}…`,
      {
        hint: 'Thresholds mean nothing for another model: calibrate again with `mue calibrate`.',
      },
    );
  }
  if (plan.task && plan.task !== task)
    throw new UsageError('plan-task', `the exit plan was made for the task '${plan.task}', not for '${task}'`);
  return {policy: planPolicy(plan, stacks), mode: plan.mode, skippedKv: plan.skippedKv};
}

function namedPlan(task: TaskName, name: 'model' | 'never' | 'release', plans: ExitPlans | undefined): ExitPlan {
  if (name === 'never') return NEVER_PLAN;
  if (name === 'release') return releasePlan(task);
  return plans?.plans[task] ?? NEVER_PLAN;
}
