import {type ExitPlan, type ExitPlans, NEVER_PLAN, planPolicy, releasePlan} from '../exit/plan.js';
import type {PolicyPerImage, ExitPolicy, StackName} from '../exit/policy.js';
import {UsageError} from '../runtime/errors.js';
import type {ExitChoice, Exits, TaskName} from './assistant.js';

/** What decides whether a plan fits. */
export interface PlanContext {
  readonly stacks: Readonly<Partial<Record<StackName, number>>>;
  readonly plans?: ExitPlans | undefined;
  readonly sha256?: string | undefined;
}

/** The policy and its surroundings for one answer. @throws UsageError for a plan that does not fit the model or task */
export function chosenExits(
  task: TaskName,
  choice: ExitChoice | undefined,
  {stacks, plans, sha256}: PlanContext,
): Exits {
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

/** The same for several pictures. */
export interface BatchExits extends Omit<Exits, 'policy'> {
  readonly policy: PolicyPerImage;
}

/**
 * Exits with which each of several pictures decides for itself.
 * @param make the exits of the choice, anew
 * @throws UsageError where the pictures cannot
 */
export function batchExits(make: () => Exits, choice: ExitChoice | undefined, pictures: number): BatchExits {
  const exits = make();
  if (pictures === 1) return exits;
  const hint = 'Answer one picture at a time (--batch 1).';
  if (exits.mode === 'reference')
    throw new UsageError(
      'batch-reference',
      "in reference mode the pictures of a batch decide as one, as in the authors' release: answers would depend on the batch",
      {hint},
    );
  const {policy} = exits;
  if (policy.observeEach) return {...exits, policy: new Array<ExitPolicy>(pictures).fill(policy)};
  // One that remembers what it saw: each picture gets its own, if they can be made.
  if (typeof choice === 'object' && 'policy' in choice)
    throw new UsageError(
      'batch-policy',
      `the policy '${policy.name}' remembers what it saw: it can decide for one picture at a time`,
      {
        hint,
      },
    );
  return {...exits, policy: Array.from({length: pictures}, () => make().policy)};
}

function namedPlan(task: TaskName, name: 'model' | 'never' | 'release', plans: ExitPlans | undefined): ExitPlan {
  if (name === 'never') return NEVER_PLAN;
  if (name === 'release') return releasePlan(task);
  return plans?.plans[task] ?? NEVER_PLAN;
}
