import {z} from 'zod';
import {checkArguments, TEXT} from '../../runtime/check-arguments.js';
import {UsageError} from '../../runtime/errors.js';
import {withoutSchemaName} from '../../runtime/schema-name.js';
import {SCHEDULE_NAMES} from '../policies/threshold.js';
import {STACK_NAMES} from '../policy.js';
import {SKIPPED_KV} from '../stacks.js';
import {parseJson} from '../../runtime/parse-json.js';

// An exit plan is one JSON value for exits everywhere: `--exit plan.json`, the API's `exit`, what calibration writes
// (docs/exits.md).

/** Exits of one stack. */
export const stackPlanSchema = z.looseObject({
  policy: z.string(),
  /** null never exits. Policies refuse NaN and infinities, with a code of their own. */
  threshold: z
    .custom<number>((value) => typeof value === 'number')
    .meta({type: 'number'})
    .nullable()
    .optional(),
  schedule: z.enum(SCHEDULE_NAMES).optional(),
  /** Temperature τ of the schedule, and weight β of the threshold in `paper`. */
  tau: z.number().optional(),
  beta: z.number().optional(),
  /** `fixed`: the depth. `draft`: the layers that draft. */
  layers: z.number().optional(),
  /** `draft`: most tokens that are verified in one pass. */
  draftLength: z.number().optional(),
  /** How the beams of an image decide: by one score (`joint`, default), or when `every` one would leave by itself. */
  rows: z.enum(['joint', 'every']).optional(),
  /** `patience`, `patience-confidence`: layers that must agree. */
  patience: z.number().optional(),
  /** `random`: how often each depth is drawn, from depth 1. */
  histogram: z.array(z.number()).optional(),
  seed: z.number().optional(),
  /** `quantile-budget`: a threshold for each layer, and the score they are compared with. */
  thresholds: z.array(z.number().nullable()).optional(),
  score: z.enum(['similarity', 'softmax-margin']).optional(),
  /** `linear-head`: the trained head. */
  head: z.object({weights: z.array(z.number()), biases: z.array(z.number())}).optional(),
});

export const exitPlanSchema = z.strictObject({
  version: z.literal(1),
  /** SHA-256 of the weights that it was made for; refused for others. */
  model: z.string().optional(),
  task: z.string().optional(),
  mode: z.enum(['reference', 'corrected']).default('corrected'),
  skippedKv: z.enum(SKIPPED_KV).default('project'),
  /** A stack left out never exits. */
  stacks: z.partialRecord(z.enum(STACK_NAMES), stackPlanSchema),
  /** How calibration came to it; kept, not used. */
  certificate: z.unknown().optional(),
});

/** Plans of a model folder (`exit.json`), one a task. */
export const exitPlansSchema = z.strictObject({
  version: z.literal(1),
  plans: z.record(z.string(), exitPlanSchema),
});

/** Read-only through and through. */
export type DeepReadonly<T> = T extends object ? {readonly [K in keyof T]: DeepReadonly<T[K]>} : T;
/** The fields of a stack's plan and whatever else a file has. */
export type StackPlanFields = z.infer<typeof stackPlanSchema>;
/** The known fields of a stack's plan; a file may hold more, which are kept. */
export type StackPlan = DeepReadonly<{
  [K in keyof StackPlanFields as string extends K ? never : K]: StackPlanFields[K];
}>;
export type ExitPlan = Readonly<Omit<z.infer<typeof exitPlanSchema>, 'stacks'>> & {
  readonly stacks: Readonly<Partial<Record<(typeof STACK_NAMES)[number], StackPlan>>>;
};
export interface ExitPlans {
  readonly version: 1;
  readonly plans: Readonly<Record<string, ExitPlan>>;
}

/** A plan that never exits. */
export const NEVER_PLAN: ExitPlan = {version: 1, mode: 'corrected', skippedKv: 'project', stacks: {}};

/**
 * Checks a plan that a program passes.
 * @param source   how messages call it
 * @throws         UsageError if it is none
 */
export function checkedPlan(plan: unknown, source: string): ExitPlan {
  const parsed = exitPlanSchema.safeParse(withoutSchemaName(plan));
  if (parsed.success) return parsed.data;
  throw invalidPlan(source, problemsOf(parsed.error));
}

/** The plan of a task; labels are embeddings, too, where they have no plan of their own. A task without one never exits. */
export function planFor({plans}: ExitPlans, task: string): ExitPlan {
  const found = [task, ...(task === 'classify' ? ['embed'] : [])].find((name) => Object.hasOwn(plans, name));
  return found === undefined ? NEVER_PLAN : plans[found]!;
}

function problemsOf(error: z.ZodError): string {
  return error.issues.map(({path, message}) => `${path.join('.') || 'top level'}: ${message}`).join('; ');
}

function invalidPlan(source: string, why: string): UsageError {
  return new UsageError('plan-invalid', `${source} is no exit plan: ${why}`, {
    hint: 'See docs/exits.md for the format; `mue calibrate` writes one.',
  });
}

/**
 * Reads a plan from JSON text: one plan, or a set of plans by task.
 * @param source   how messages call it
 * @throws         UsageError if it is neither
 */
export function parsePlan(text: string, source: string, task: string): ExitPlan {
  checkArguments('parsePlan', {text: [text, TEXT], source: [source, TEXT], task: [task, TEXT]});
  let json: unknown;
  try {
    json = withoutSchemaName(parseJson(text));
  } catch (error) {
    throw invalidPlan(source, (error as Error).message);
  }
  const several = typeof json === 'object' && json !== null && 'plans' in json;
  const parsed = several ? exitPlansSchema.safeParse(json) : exitPlanSchema.safeParse(json);
  if (!parsed.success) throw invalidPlan(source, problemsOf(parsed.error));
  if (!('plans' in parsed.data)) return parsed.data;
  return planFor(parsed.data, task);
}
