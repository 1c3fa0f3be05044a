import {z} from 'zod';
import {UsageError} from '../runtime/errors.js';
import {entropy, softmaxMargin, softmaxMax} from './policies/confidence.js';
import {cosineLast, cosineMean, relativeL2} from './policies/hidden-state.js';
import {type LinearHead, linearHead} from './policies/linear-head.js';
import {patience} from './policies/patience.js';
import {quantileBudget} from './policies/quantile-budget.js';
import {type Mode, similarity} from './policies/similarity.js';
import {fixed, random} from './policies/static.js';
import {
  type RowRule,
  type Schedule,
  SCHEDULE_NAMES,
  type ScheduleName,
  type ThresholdOptions,
} from './policies/threshold.js';
import {type ExitPolicy, never, STACK_NAMES, type StackName, stackPolicies} from './policy.js';
import {SKIPPED_KV, type SkippedKv} from './skipped-kv-cache.js';
import {writes} from './stacks.js';

// One JSON value for exits everywhere: `--exit plan.json`, the API's `exit`, what calibration writes (ofa_mue section 10.13).

/** What one stack does. A null threshold never exits. */
export interface StackPlan {
  readonly policy: string;
  readonly threshold?: number | null | undefined;
  readonly schedule?: ScheduleName | undefined;
  readonly tau?: number | undefined;
  readonly beta?: number | undefined;
  /** `fixed`: the depth. */
  readonly layers?: number | undefined;
  /** How the beams of a picture decide: by one score (`joint`, default), or when `every` one would leave by itself. */
  readonly rows?: RowRule | undefined;
  /** `patience`, `patience-confidence`: layers that must agree. */
  readonly patience?: number | undefined;
  /** `random`: how often each depth is drawn, from depth 1. */
  readonly histogram?: readonly number[] | undefined;
  readonly seed?: number | undefined;
  /** `quantile-budget`: a threshold a layer, and of which score. */
  readonly thresholds?: readonly (number | null)[] | undefined;
  readonly score?: 'similarity' | 'softmax-margin' | undefined;
  /** `linear-head`: what training gave. */
  readonly head?: LinearHead | undefined;
}

export interface ExitPlan {
  readonly version: 1;
  /** SHA-256 of the weights that it was made for; refused for others. */
  readonly model?: string | undefined;
  readonly task?: string | undefined;
  readonly mode: Mode;
  readonly skippedKv: SkippedKv;
  /** A stack left out never exits. */
  readonly stacks: Readonly<Partial<Record<StackName, StackPlan>>>;
  /** How calibration came to it; kept, not used. */
  readonly certificate?: unknown;
}

/** Plans of a model folder (`exit.json`), one a task. */
export interface ExitPlans {
  readonly version: 1;
  readonly plans: Readonly<Record<string, ExitPlan>>;
}

const stackPlanSchema = z.looseObject({
  policy: z.string(),
  threshold: z.number().nullable().optional(),
  schedule: z.enum(SCHEDULE_NAMES as [ScheduleName, ...ScheduleName[]]).optional(),
  tau: z.number().optional(),
  beta: z.number().optional(),
  layers: z.number().optional(),
  rows: z.enum(['joint', 'every']).optional(),
  patience: z.number().optional(),
  histogram: z.array(z.number()).optional(),
  seed: z.number().optional(),
  thresholds: z.array(z.number().nullable()).optional(),
  score: z.enum(['similarity', 'softmax-margin']).optional(),
  head: z.object({weights: z.array(z.number()), biases: z.array(z.number())}).optional(),
});
export const exitPlanSchema: z.ZodType<ExitPlan> = z.strictObject({
  version: z.literal(1),
  model: z.string().optional(),
  task: z.string().optional(),
  mode: z.enum(['reference', 'corrected']).default('corrected'),
  skippedKv: z.enum(SKIPPED_KV as [SkippedKv, ...SkippedKv[]]).default('project'),
  stacks: z.partialRecord(z.enum(STACK_NAMES as [StackName, ...StackName[]]), stackPlanSchema),
  certificate: z.unknown().optional(),
}) as unknown as z.ZodType<ExitPlan>;
export const exitPlansSchema: z.ZodType<ExitPlans> = z.strictObject({
  version: z.literal(1),
  plans: z.record(z.string(), exitPlanSchema),
}) as unknown as z.ZodType<ExitPlans>;

function thresholdOptions({
  threshold = null,
  schedule: name = 'constant',
  tau,
  beta,
  rows,
}: StackPlan): ThresholdOptions & {schedule: Schedule} {
  return {
    threshold,
    schedule: {name, ...(tau === undefined ? {} : {tau}), ...(beta === undefined ? {} : {beta})},
    ...(rows ? {rows} : {}),
  };
}

type PolicyMaker = (plan: StackPlan, mode: Mode) => ExitPolicy;

/** Every policy by the name that plans use. A new one is one file and one line here. */
const POLICIES: Readonly<Record<string, PolicyMaker>> = {
  never: () => never,
  similarity: (plan, mode) => similarity({...thresholdOptions(plan), mode}),
  'cosine-last': (plan) => cosineLast(thresholdOptions(plan)),
  'cosine-mean': (plan) => cosineMean(thresholdOptions(plan)),
  'relative-l2': (plan) => relativeL2(thresholdOptions(plan)),
  'softmax-margin': (plan) => softmaxMargin(thresholdOptions(plan)),
  'softmax-max': (plan) => softmaxMax(thresholdOptions(plan)),
  entropy: (plan) => entropy(thresholdOptions(plan)),
  patience: ({patience: layers}) => patience({patience: layers ?? Number.NaN}),
  'patience-confidence': ({patience: layers, threshold}) =>
    patience({patience: layers ?? Number.NaN, threshold: threshold ?? 0}),
  'linear-head': ({head, ...plan}) => linearHead({head: head ?? {weights: [], biases: []}, ...thresholdOptions(plan)}),
  fixed: ({layers}) => fixed({layers: layers ?? Number.NaN}),
  random: ({histogram, seed}) => random({histogram: histogram ?? [], seed: seed ?? 0}),
  'quantile-budget': ({thresholds, score}) =>
    quantileBudget({thresholds: thresholds ?? [], score: score ?? 'similarity'}),
  oracle: () => {
    throw new UsageError(
      'plan-oracle',
      'an oracle knows the answer of the last layer, so that it can be replayed from a recording, but not run',
      {hint: 'Use `mue sweep`.'},
    );
  },
};
export const POLICY_NAMES: readonly string[] = Object.keys(POLICIES);

/** A plan that never exits. */
export const NEVER_PLAN: ExitPlan = {version: 1, mode: 'corrected', skippedKv: 'project', stacks: {}};

/**
 * The policy of a plan. Policies may remember what they saw: make one for every answer.
 * @param depths the model's stacks
 * @throws UsageError for an unknown policy, a stack that the model lacks, or a threshold that is no number
 */
export function planPolicy(plan: ExitPlan, depths: Readonly<Partial<Record<StackName, number>>>): ExitPolicy {
  const entries = Object.entries(plan.stacks) as [StackName, StackPlan][];
  return stackPolicies(
    Object.fromEntries(
      entries.map(([stack, stackPlan]) => {
        if (depths[stack] === undefined) {
          // What never exits anyway says nothing about the stack: thresholds that were not given must fit a joint encoder, too.
          if (
            stackPlan.policy === 'never' ||
            (stackPlan.policy === 'similarity' && (stackPlan.threshold ?? null) === null)
          )
            return [stack, never];
          throw new UsageError(
            'plan-stack',
            `the exit plan speaks of the stack '${stack}', but this model has ${Object.keys(depths).join(', ')}`,
            {
              hint:
                depths.encoder === undefined
                  ? `Thresholds by these names: --thres ${Object.keys(depths)
                      .map((name) => `${name}=0.9`)
                      .join(',')}`
                  : "A model with a joint encoder has one stack 'encoder'; only one trained with MuE has 'encoder.image' and 'encoder.text'.",
            },
          );
        }
        const make = POLICIES[stackPlan.policy];
        if (!make)
          throw new UsageError(
            'plan-policy',
            `the exit plan asks for the policy '${stackPlan.policy}' in '${stack}'; known are ${POLICY_NAMES.join(', ')}`,
          );
        return [stack, make(stackPlan, plan.mode)];
      }),
    ),
  );
}

/**
 * Reads a plan from JSON text: one plan, or a set of plans by task.
 * @throws UsageError if it is neither
 */
export function parsePlan(text: string, source: string, task: string): ExitPlan {
  const fail = (why: string): never => {
    throw new UsageError('plan-invalid', `${source} is no exit plan: ${why}`, {
      hint: 'See docs/exits.md for the format; `mue calibrate` writes one.',
    });
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return fail((error as Error).message);
  }
  const many = typeof json === 'object' && json !== null && 'plans' in json;
  const parsed = many ? exitPlansSchema.safeParse(json) : exitPlanSchema.safeParse(json);
  if (!parsed.success)
    return fail(
      parsed.error.issues.map(({path, message}) => `${path.join('.') || 'top level'}: ${message}`).join('; '),
    );
  if (!many) return parsed.data as ExitPlan;
  return (parsed.data as ExitPlans).plans[task] ?? NEVER_PLAN;
}

/** What surrounds thresholds. */
export interface ThresholdSurroundings {
  /** Of the stack that writes. */
  readonly schedule?: ScheduleName | undefined;
  readonly mode?: Mode | undefined;
  readonly skippedKv?: SkippedKv | undefined;
}

/**
 * A plan of similarity thresholds by the stacks' names, for a model of any family; a stack left out, or null, never exits.
 * Reference mode brings the release's schedule and caches along, unless told otherwise.
 */
export function similarityPlan(
  thresholds: Readonly<Partial<Record<StackName, number | null>>>,
  {schedule, mode = 'corrected', skippedKv}: ThresholdSurroundings = {},
): ExitPlan {
  const reference = mode === 'reference';
  const named = schedule ?? (reference ? 'release' : 'constant');
  const similar = ([stack, threshold]: [string, number | null]): [string, StackPlan] => [
    stack,
    {policy: 'similarity', threshold, ...(writes(stack as StackName) ? {schedule: named} : {})},
  ];
  return {
    version: 1,
    mode,
    skippedKv: skippedKv ?? (reference ? 'gap' : 'project'),
    stacks: Object.fromEntries(Object.entries(thresholds).map(similar)),
  };
}

/** MuE's three thresholds; one not given never exits. */
export interface Thresholds extends ThresholdSurroundings {
  readonly image?: number | undefined;
  readonly text?: number | undefined;
  readonly decoder?: number | undefined;
}

/** MuE's plan from three thresholds (see `similarityPlan`). */
export function thresholdPlan({image, text, decoder, ...rest}: Thresholds): ExitPlan {
  return similarityPlan({'encoder.image': image ?? null, 'encoder.text': text ?? null, decoder: decoder ?? null}, rest);
}

/** The values of the authors' evaluation scripts (section 10.6), in reference mode. Captions' also serve questions and prompts. */
export function releasePlan(task: string): ExitPlan {
  return task === 'snli-ve'
    ? thresholdPlan({image: 0.7, text: 0.99, decoder: 0.7, mode: 'reference'})
    : thresholdPlan({image: 0.99, text: 0.7, decoder: 0.9, mode: 'reference'});
}
