import {checkArguments, NUMBER, OBJECT, optional, TEXT} from '../../runtime/check-arguments.js';
import {UsageError} from '../../runtime/errors.js';
import type {Mode} from '../policies/similarity.js';
import type {ScheduleName} from '../policies/threshold.js';
import {STACK_NAMES, type StackName} from '../policy.js';
import type {SkippedKv} from '../skipped-kv-cache.js';
import {producesTokens, writingStack} from '../stacks.js';
import {type ExitPlan, type ExitPlans, NEVER_PLAN, planFor, type StackPlan} from './schema.js';

/** Settings of a plan besides its thresholds. */
export interface PlanDefaults {
  /** Schedule of the stack that produces tokens. */
  readonly schedule?: ScheduleName;
  readonly mode?: Mode;
  readonly skippedKv?: SkippedKv;
}

/**
 * A plan of similarity thresholds by the stacks' names, for a model of any family; a stack left out, or null, never
 * exits. Reference mode brings the release's schedule and caches along, unless told otherwise.
 */
export function similarityPlan(
  thresholds: Readonly<Partial<Record<StackName, number | null>>>,
  defaults: PlanDefaults = {},
): ExitPlan {
  checkArguments('similarityPlan', {
    thresholds: [thresholds, OBJECT],
    ...Object.fromEntries(
      Object.entries(thresholds ?? {}).map(
        ([stack, value]) => [`thresholds.${stack}`, [value ?? undefined, optional(NUMBER)]] as const,
      ),
    ),
    defaults: [defaults, OBJECT],
  });
  const unknown = Object.keys(thresholds).find((stack) => !STACK_NAMES.some((name) => name === stack));
  if (unknown !== undefined)
    throw new UsageError('plan-stack', `similarityPlan: there is no stack '${unknown}'`, {
      hint: `The stacks are ${STACK_NAMES.join(', ')}.`,
    });
  const {schedule, mode = 'corrected', skippedKv} = defaults;
  const reference = mode === 'reference';
  const named = schedule ?? (reference ? 'release' : 'constant');
  const similar = ([stack, threshold]: [string, number | null]): [string, StackPlan] => [
    stack,
    {policy: 'similarity', threshold, ...(producesTokens(stack as StackName) ? {schedule: named} : {})},
  ];
  return {
    version: 1,
    mode,
    skippedKv: skippedKv ?? (reference ? 'gap' : 'project'),
    stacks: Object.fromEntries(Object.entries(thresholds).map(similar)),
  };
}

/** MuE's three thresholds; one not given never exits. */
export interface Thresholds extends PlanDefaults {
  readonly image?: number;
  readonly text?: number;
  readonly decoder?: number;
}

/** MuE's plan from three thresholds (see `similarityPlan`). */
export function thresholdPlan(thresholds: Thresholds): ExitPlan {
  checkArguments('thresholdPlan', {thresholds: [thresholds, OBJECT]});
  const {image, text, decoder, ...rest} = thresholds;
  return similarityPlan({'encoder.image': image ?? null, 'encoder.text': text ?? null, decoder: decoder ?? null}, rest);
}

/**
 * The thresholds of the authors' evaluation scripts, in reference mode (docs/reference/ofa-mue.md 10.6). Those of
 * captions serve questions and prompts, too.
 */
export function releasePlan(task: string): ExitPlan {
  checkArguments('releasePlan', {task: [task, TEXT]});
  return task === 'snli-ve'
    ? thresholdPlan({image: 0.7, text: 0.99, decoder: 0.7, mode: 'reference'})
    : thresholdPlan({image: 0.99, text: 0.7, decoder: 0.9, mode: 'reference'});
}

/**
 * The plan that loses nothing: the first layer of the stack that writes drafts, the others verify. A stack of one layer
 * has none to draft with, and never exits.
 * @param stacks   the model's, with their depths
 */
export function losslessPlan(stacks: Readonly<Partial<Record<StackName, number>>>): ExitPlan {
  const stack = writingStack(stacks);
  return stacks[stack]! > 1
    ? {...NEVER_PLAN, skippedKv: 'just-in-time', stacks: {[stack]: {policy: 'draft', layers: 1, threshold: 0.2}}}
    : NEVER_PLAN;
}

export const PLAN_NAMES = ['model', 'never', 'release', 'lossless'] as const;
/**
 * Plans by name: the model folder's own (never, if it has none), never, the authors' scripts, or drafts that other
 * layers verify.
 */
export type PlanName = (typeof PLAN_NAMES)[number];

/** Whether a plan is meant by a name. */
export function isPlanName(value: unknown): value is PlanName {
  return PLAN_NAMES.some((name) => name === value);
}

/**
 * @param plans    the model folder's own
 * @param stacks   the model's, with their depths
 */
export function namedPlan(
  name: PlanName,
  task: string,
  plans: ExitPlans | undefined,
  stacks: Readonly<Partial<Record<StackName, number>>>,
): ExitPlan {
  if (name === 'never') return NEVER_PLAN;
  if (name === 'lossless') return losslessPlan(stacks);
  if (name === 'release') return releasePlan(task);
  return plans ? planFor(plans, task) : NEVER_PLAN;
}

/**
 * A plan with other surroundings. Reference mode brings the release's schedule and caches along, unless told otherwise.
 */
export function adjustPlan(plan: ExitPlan, {schedule, mode, skippedKv}: PlanDefaults): ExitPlan {
  const toReference = mode === 'reference' && plan.mode !== 'reference';
  const adjust = ([stack, own]: [string, StackPlan]): [string, StackPlan] => {
    const adjusted = schedule ?? (toReference && own.schedule === undefined ? 'release' : undefined);
    return [stack, adjusted && producesTokens(stack as StackName) ? {...own, schedule: adjusted} : own];
  };
  return {
    ...plan,
    mode: mode ?? plan.mode,
    skippedKv: skippedKv ?? (toReference ? 'gap' : plan.skippedKv),
    stacks: Object.fromEntries(Object.entries(plan.stacks).map(adjust)),
  };
}
