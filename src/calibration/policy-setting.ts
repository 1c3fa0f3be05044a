import {z} from 'zod';
import {REPLAY_RULES} from '../exit/plan/policies.js';
import type {ExitPlan, StackPlan} from '../exit/plan/schema.js';
import type {LinearHead} from '../exit/policies/linear-head.js';
import {UsageError} from '../runtime/errors.js';
import {type ByStack, byPlace, byStack, fullDepth, mapStacks, placesOf, type RecordedStacks} from './stacks.js';

/** Name of a policy of the last stack, one of `DECODER_POLICIES`. */
export type DecoderPolicy = string;

/**
 * Policies of the last stack that can be replayed from one recording, and run from a plan: those that say themselves
 * how (`REPLAY_RULES`), and those that this room knows (`decoderScores`).
 */
export const DECODER_POLICIES: readonly DecoderPolicy[] = [
  ...REPLAY_RULES.keys(),
  'patience',
  'patience-confidence',
  'linear-head',
  'quantile-budget',
  'fixed',
];

const exitValue = z.number().nullable();

/**
 * Exit setting as files hold it: of no particular model, hence by place (`Place`) and not by stack name.
 *
 * `image`, `text`, `decoder`: values of the stacks; null never exits; `text` is absent for a model of two stacks. Under `similarity` and other policies with
 * a threshold it is the threshold; under `fixed` the depth, under `patience` the layers that must agree, under
 * `quantile-budget` the ratio of the fractions that leave from layer to layer.
 */
export const settingSchema = z
  .object({
    /** Policy of the stacks before the last. */
    encoder: z.enum(['similarity', 'fixed']).default('similarity'),
    /** Policy of the last stack. */
    policy: z.enum(DECODER_POLICIES).default('similarity'),
    image: exitValue,
    text: exitValue.optional(),
    decoder: exitValue,
    /** `patience-confidence`: layers that must agree. */
    patience: z.number().int().positive().optional(),
    /** `quantile-budget`: the score that is compared, and a threshold for each layer. */
    score: z.enum(['similarity', 'softmax-margin']).optional(),
    thresholds: z.array(exitValue).readonly().optional(),
  })
  .readonly();
export type PolicySetting = z.infer<typeof settingSchema>;

/** The part of a setting that is about one stack. */
export interface StackSetting extends Pick<PolicySetting, 'patience' | 'score' | 'thresholds'> {
  readonly policy: DecoderPolicy;
  /** Threshold, depth, … as the policy reads it; null never exits. */
  readonly value: number | null;
}

/**
 * A setting by the names of a model's stacks.
 * @throws UsageError `settings-stacks` if it is for a model with another number of stacks
 */
export function stackSettings(
  {encoder, policy, image, text, decoder, patience, score, thresholds}: PolicySetting,
  stacks: RecordedStacks,
): ByStack<StackSetting> {
  if ((text !== undefined) !== placesOf(stacks).includes('text'))
    throw new UsageError(
      'settings-stacks',
      `a setting ${text === undefined ? 'without' : 'with'} a value for 'text' cannot be of a model with the stacks ` +
        stacks.map(({stack}) => stack).join(', '),
      {hint: 'Take settings that a sweep of this model wrote.'},
    );
  return byStack<StackSetting>(stacks, {
    image: {policy: encoder, value: image},
    ...(text === undefined ? {} : {text: {policy: encoder, value: text}}),
    decoder: {policy, value: decoder, patience, score, thresholds},
  });
}

/** Every layer of every stack. */
export function fullDepthSetting(stacks: RecordedStacks): PolicySetting {
  return {encoder: 'fixed', policy: 'fixed', ...byPlace(stacks, fullDepth(stacks))};
}

/** Name of the settings that are replayed together: those of one group differ in thresholds only. */
export function settingGroup({encoder, policy, patience}: PolicySetting): string {
  return `${encoder} ${policy} ${patience ?? ''}`;
}

/** Model (SHA-256 of its weights), task and stacks that a setting is run on. Headers of recordings are such targets. */
export interface SettingTarget {
  readonly model: string;
  readonly task: string;
  readonly stacks: RecordedStacks;
}

/** The setting as a plan that `--exit` runs. @param head what `linear-head` learned */
export function settingPlan(setting: PolicySetting, target: SettingTarget, head?: LinearHead): ExitPlan {
  const {model, task, stacks} = target;
  const settings = stackSettings(setting, stacks);
  return {
    version: 1,
    model,
    task,
    mode: 'corrected',
    skippedKv: 'project',
    stacks: mapStacks(stacks, (stack) => stackPlan(settings[stack]!, head)),
  };
}

function stackPlan(
  {policy, value, patience, score, thresholds}: StackSetting,
  head: LinearHead | undefined,
): StackPlan {
  if (policy === 'quantile-budget') return {policy, score: score ?? 'similarity', thresholds: thresholds ?? []};
  if (value === null) return {policy: 'never'};
  switch (policy) {
    case 'fixed':
      return {policy, layers: value};
    case 'patience':
      return {policy, patience: value};
    case 'patience-confidence':
      return {policy, patience: patience ?? 2, threshold: value};
    case 'linear-head':
      return {policy, threshold: value, head};
    default:
      return {policy, threshold: value};
  }
}
