import type {ExitPlan, StackPlan} from '../exit/plan/schema.js';
import type {LinearHead} from '../exit/policies/linear-head.js';

/** What decides in the decoder. All can be replayed from one recording, and run from a plan. */
export const DECODER_POLICIES = [
  'similarity',
  'softmax-margin',
  'softmax-max',
  'entropy',
  'patience',
  'patience-confidence',
  'linear-head',
  'quantile-budget',
  'fixed',
] as const;
export type DecoderPolicy = (typeof DECODER_POLICIES)[number];

/** One way to exit: what the two encoder stacks do, and what the decoder does. */
export interface PolicySetting {
  /** `similarity`: image and text are thresholds; `fixed`: depths. */
  readonly encoder: 'similarity' | 'fixed';
  readonly policy: DecoderPolicy;
  /** null never exits. */
  readonly image: number | null;
  readonly text: number | null;
  /** The policy's threshold; of `patience` the layers that must agree, of `fixed` the depth, of `quantile-budget` the ratio of shares from layer to layer. */
  readonly decoder: number | null;
  /** `patience-confidence`: layers that must agree. */
  readonly patience?: number | undefined;
  /** `quantile-budget`: a threshold a layer, and of which score. */
  readonly score?: 'similarity' | 'softmax-margin' | undefined;
  readonly thresholds?: readonly (number | null)[] | undefined;
}

/** Settings that are replayed together: those of one group differ in thresholds only. */
export function settingGroup({encoder, policy, patience}: PolicySetting): string {
  return `${encoder} ${policy} ${patience ?? ''}`;
}

/** What a setting is for: the model, its stacks (two of the encoder, the decoder), and the task. A recording's header says it. */
export interface SettingTarget {
  readonly model: string;
  readonly task: string;
  readonly stacks: readonly {readonly stack: string; readonly depth: number}[];
}

/** The setting as a plan that `--exit` runs. @param head what `linear-head` learned */
export function settingPlan(setting: PolicySetting, target: SettingTarget, head?: LinearHead): ExitPlan {
  const [image, text, decoder] = target.stacks.map(({stack}) => stack) as [string, string, string];
  const encoder = (value: number | null): StackPlan => {
    if (value === null) return {policy: 'never'};
    return setting.encoder === 'fixed' ? {policy: 'fixed', layers: value} : {policy: 'similarity', threshold: value};
  };
  return {
    version: 1,
    model: target.model,
    task: target.task,
    mode: 'corrected',
    skippedKv: 'project',
    stacks: {[image]: encoder(setting.image), [text]: encoder(setting.text), [decoder]: decoderPlan(setting, head)},
  };
}

function decoderPlan(
  {policy, decoder, patience, score, thresholds}: PolicySetting,
  head: LinearHead | undefined,
): StackPlan {
  if (policy === 'quantile-budget') return {policy, score: score ?? 'similarity', thresholds: thresholds ?? []};
  if (decoder === null) return {policy: 'never'};
  switch (policy) {
    case 'fixed':
      return {policy, layers: decoder};
    case 'patience':
      return {policy, patience: decoder};
    case 'patience-confidence':
      return {policy, patience: patience ?? 2, threshold: decoder};
    case 'linear-head':
      return {policy, threshold: decoder, head};
    default:
      return {policy, threshold: decoder};
  }
}
