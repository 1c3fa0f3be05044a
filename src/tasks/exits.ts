import {createPolicy} from '../exit/plan/policies.js';
import {adjustPlan, isPlanName, namedPlan, PLAN_NAMES, type PlanDefaults, type PlanName} from '../exit/plan/presets.js';
import {checkedPlan, type ExitPlan, type ExitPlans} from '../exit/plan/schema.js';
import type {Mode} from '../exit/policies/similarity.js';
import type {ExitPolicy, PolicyPerImage, StackName} from '../exit/policy.js';
import type {SkippedKv} from '../exit/skipped-kv-cache.js';
import {UsageError} from '../runtime/errors.js';
import {shown} from '../runtime/check-options.js';

// When to stop, from what a caller chose to policies.

export type TaskName = 'caption' | 'snli-ve' | 'vqa' | 'prompt' | 'embed' | 'classify';

/** A policy of the caller's own, with what surrounds it. */
export interface CustomExit {
  readonly policy: ExitPolicy;
  readonly mode?: Mode;
  readonly skippedKv?: SkippedKv;
}

/** A plan, or the name of one, with other surroundings. */
export interface AdjustedExit extends PlanDefaults {
  readonly plan: PlanName | ExitPlan;
}

/**
 * When to stop: `model` the model folder's own plan (never, if it has none), `never`, `release` the authors' scripts in
 * reference mode, `lossless` drafts that full depth verifies, a plan, a plan with other surroundings, or a policy.
 */
export type ExitChoice = PlanName | ExitPlan | AdjustedExit | CustomExit;

/** The model that a choice is resolved for. */
export interface ExitContext {
  /** All stacks of the model, optional ones included. */
  readonly stacks: Readonly<Partial<Record<StackName, number>>>;
  /** The model folder's own plans. */
  readonly plans?: ExitPlans;
  /** SHA-256 of the weights; plans made for others are refused. */
  readonly sha256?: string;
}

/** The exits of one task, checked against a model. */
export interface ResolvedExits {
  /** Undefined for a policy of the caller's own. */
  readonly plan: ExitPlan | undefined;
  readonly mode: Mode;
  readonly skippedKv: SkippedKv;
  /** Policy for one answer. */
  readonly policy: ExitPolicy;
  /**
   * Policies with which each of several images decides for itself.
   * @throws UsageError where the images cannot
   */
  policiesFor(images: number): PolicyPerImage;
}

/** @throws UsageError for a plan that does not fit the model or task */
export function resolveExits(task: TaskName, choice: ExitChoice = 'model', context: ExitContext): ResolvedExits {
  if (typeof choice === 'object' && choice !== null && 'policy' in choice) {
    const {policy, mode = 'corrected', skippedKv = 'project'} = choice;
    if (typeof policy?.observe !== 'function')
      throw new UsageError(
        'exit-invalid',
        `exit.policy must be a policy, an object with a method observe, not ${shown(policy)}`,
      );
    const another = (): never => {
      throw new UsageError(
        'batch-policy',
        `the policy '${policy.name}' remembers what it saw: it can decide for one picture at a time`,
        {hint: BATCH_HINT},
      );
    };
    return resolved(undefined, mode, skippedKv, policy, another);
  }
  const plan = chosenPlan(task, choice, context);
  checkPlan(plan, task, context.sha256);
  const create = (): ExitPolicy => createPolicy(plan, context.stacks);
  return resolved(plan, plan.mode, plan.skippedKv, create(), create);
}

const BATCH_HINT = 'Answer one picture at a time (--batch 1).';

/** @param another a new policy like `policy`, for one that remembers what it saw */
function resolved(
  plan: ExitPlan | undefined,
  mode: Mode,
  skippedKv: SkippedKv,
  policy: ExitPolicy,
  another: () => ExitPolicy,
): ResolvedExits {
  const policiesFor = (images: number): PolicyPerImage => {
    if (images === 1) return policy;
    if (mode === 'reference')
      throw new UsageError(
        'batch-reference',
        "in reference mode the pictures of a batch decide as one, as in the authors' release: answers would depend on the batch",
        {hint: BATCH_HINT},
      );
    if (policy.observeEach) return new Array<ExitPolicy>(images).fill(policy);
    return Array.from({length: images}, another);
  };
  return {plan, mode, skippedKv, policy, policiesFor};
}

function chosenPlan(task: TaskName, choice: PlanName | ExitPlan | AdjustedExit, context: ExitContext): ExitPlan {
  const isObject = typeof choice === 'object' && choice !== null;
  if (!isObject || !('plan' in choice)) return planOf(choice, task, context);
  return adjustPlan(planOf(choice.plan, task, context), choice);
}

/** @throws UsageError for what is neither the name of a plan nor a plan: programs may pass anything */
function planOf(value: PlanName | ExitPlan, task: TaskName, {plans, stacks}: ExitContext): ExitPlan {
  if (isPlanName(value)) return namedPlan(value, task, plans, stacks);
  if (typeof value === 'object' && value !== null) return checkedPlan(value, 'exit');
  throw new UsageError(
    'exit-invalid',
    `exit must be ${PLAN_NAMES.map((name) => `'${name}'`).join(', ')}, an exit plan or {policy}, not ${shown(value)}`,
    {
      hint: "A plan from a file: JSON.parse(await readFile('plan.json', 'utf8')).",
    },
  );
}

function checkPlan(plan: ExitPlan, task: TaskName, sha256: string | undefined): void {
  if (plan.model && sha256 && plan.model !== sha256)
    throw new UsageError(
      'plan-model',
      `the exit plan was made for the weights ${plan.model.slice(0, 12)}…, but these are ${sha256.slice(0, 12)}…`,
      {
        hint: 'Thresholds mean nothing for another model, or one with other exit adapters: calibrate again with `mue calibrate`.',
      },
    );
  const fits = plan.task === task || (plan.task === 'embed' && task === 'classify');
  if (plan.task && !fits)
    throw new UsageError('plan-task', `the exit plan was made for the task '${plan.task}', not for '${task}'`);
}
