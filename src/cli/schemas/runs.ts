import {z} from 'zod';
import type {PairedComparison} from '../../evaluation/compare.js';
import type {EvaluationMetrics} from '../../evaluation/metrics.js';
import {exitPlanSchema} from '../../exit/plan/schema.js';
import {STACK_NAMES} from '../../exit/policy.js';
import {ADAPTER_KINDS} from '../../nn/exit-adapters.js';
import {ADAPTER_TASKS} from '../../training/rows.js';
import type {AdapterReport} from '../../training/train-exit-adapters.js';

const task = z.enum(['caption', 'snli-ve', 'vqa']);
const byStack = z.partialRecord(z.enum(STACK_NAMES), z.number());
const count = z.number().int().min(0);
const measured = z.number().nullable();

/** metrics.json of a run, which `mue evaluate` and `mue merge` print with --json. */
export const metricsSchema = z.strictObject({
  task,
  n: count,
  labelled: count.optional(),
  metrics: z.record(z.string(), z.number()),
  confusion: z.strictObject({classes: z.array(z.string()), counts: z.array(z.array(count))}).optional(),
  layers: byStack,
  depths: byStack,
  etr: measured,
  macs: z.strictObject({run: measured, full: measured}),
  model: z.strictObject({name: z.string(), sha256: z.string().nullable()}),
  data: z.looseObject({name: z.string()}),
  device: z.string(),
  threads: count.nullable(),
  exit: exitPlanSchema,
  bad: z.strictObject({unreadable: count, failed: count}),
  ms: z.strictObject({p50: measured, p90: measured, mean: measured}),
  seconds: z.number(),
  overhead: z.strictObject({pictures: measured, rest: measured, total: measured}),
}) satisfies z.ZodType<EvaluationMetrics>;

const interval = z.strictObject({
  estimate: z.number(),
  low: z.number(),
  high: z.number(),
  lowerBound: z.number(),
  upperBound: z.number(),
});

/** Output of `mue compare --json`. */
export const comparisonSchema = z.strictObject({
  /** Folders of the runs. */
  early: z.string(),
  full: z.string(),
  level: z.number(),
  resamples: count,
  seed: count,
  task,
  n: count,
  pictures: count,
  unpaired: count,
  metrics: z.record(z.string(), z.strictObject({early: z.number(), full: z.number(), retention: interval})),
  meanRetention: interval.optional(),
  saving: z.strictObject({layers: interval, macs: interval, ms: interval}),
  verdicts: z.array(
    z.strictObject({
      what: z.string(),
      atLeast: z.number(),
      claimed: z.number().optional(),
      holds: z.boolean().optional(),
    }),
  ),
}) satisfies z.ZodType<PairedComparison>;

const measures = z.strictObject({
  divergence: z.number(),
  agreement: z.number(),
  accuracy: z.number().optional() as z.ZodType<number | undefined>,
});

/** Output of `mue train exits --json`. */
export const adapterReportSchema = z.strictObject({
  task: z.enum(ADAPTER_TASKS),
  stack: z.string(),
  kind: z.enum(ADAPTER_KINDS),
  width: count,
  seed: count,
  labels: z.boolean(),
  positions: count,
  heldOut: count,
  classes: count,
  layers: z.array(
    z.strictObject({
      layer: count,
      before: measures,
      after: measures,
      gained: count,
      lost: count,
      pValue: z.number(),
      kept: z.boolean(),
      steps: count,
    }),
  ),
  full: measures,
  /** With --test: every layer on rows that nothing was learnt from. */
  test: z.array(z.strictObject({layer: count, before: measures, after: measures})).optional(),
}) satisfies z.ZodType<AdapterReport>;
