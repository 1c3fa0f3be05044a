import {checkArguments, fields, OBJECT, TEXT} from '../../runtime/check-arguments.js';
import {UsageError} from '../../runtime/errors.js';
import {entropy, softmaxMargin, softmaxMax} from '../policies/confidence.js';
import {draft} from '../policies/draft.js';
import {cosineLast, cosineMean, relativeL2} from '../policies/hidden-state.js';
import {linearHead} from '../policies/linear-head.js';
import {patience} from '../policies/patience.js';
import {quantileBudget} from '../policies/quantile-budget.js';
import {type Mode, similarity} from '../policies/similarity.js';
import {fixed, random} from '../policies/static.js';
import type {ReplayRule, Schedule, ThresholdOptions, ThresholdPolicy} from '../policies/threshold.js';
import {type ExitPolicy, never, type StackName, stackPolicies} from '../policy.js';
import {isOptional, leastLayers, producesTokens, runsPerToken} from '../stacks.js';
import type {ExitPlan, StackPlan} from './schema.js';

/** How a plan's policy is made, and replayed from recordings. */
interface PolicyDefinition {
  /** @param depth layers of the stack */
  readonly create: (plan: StackPlan, mode: Mode, stack: StackName, depth: number) => ExitPolicy;
  /** Absent for policies that are no threshold on one recorded score. */
  readonly replay?: ReplayRule;
}

/** Every policy by the name that plans use. A new one is one file in src/exit/policies and one line here (docs/extending.md). */
const POLICIES: Readonly<Record<string, PolicyDefinition>> = {
  never: {create: () => never},
  similarity: {
    create: (plan, mode) => similarity({...thresholdOptions(plan), mode}),
    replay: {exits: 'above', score: (measures) => measures.similarity},
  },
  'cosine-last': byThreshold(cosineLast),
  'cosine-mean': byThreshold(cosineMean),
  'relative-l2': byThreshold(relativeL2),
  'softmax-margin': byThreshold(softmaxMargin),
  'softmax-max': byThreshold(softmaxMax),
  entropy: byThreshold(entropy),
  patience: {create: ({patience: layers}) => patience({patience: layers ?? Number.NaN})},
  'patience-confidence': {
    create: ({patience: layers, threshold}) => patience({patience: layers ?? Number.NaN, threshold: threshold ?? 0}),
  },
  'linear-head': {
    create: ({head, ...plan}) => linearHead({head: head ?? {weights: [], biases: []}, ...thresholdOptions(plan)}),
  },
  draft: {
    create: ({layers, threshold, draftLength}, _mode, _stack, depth) =>
      draft({layers: layers ?? Number.NaN, threshold: threshold ?? Number.NaN, draftLength}, depth),
  },
  fixed: {
    create: ({layers}, _mode, stack) => fixed({layers: layers ?? Number.NaN, least: leastLayers(stack)}),
  },
  random: {create: ({histogram, seed}) => random({histogram: histogram ?? [], seed: seed ?? 0})},
  'quantile-budget': {
    create: ({thresholds, score}) => quantileBudget({thresholds: thresholds ?? [], score: score ?? 'similarity'}),
  },
};
/** Names of the policies that can be run, and of the oracle, which can only be replayed. */
export const POLICY_NAMES: readonly string[] = [...Object.keys(POLICIES), 'oracle'];

/** Rules by which recordings replay the policies that are a threshold on one recorded score, by policy name. */
export const REPLAY_RULES: ReadonlyMap<string, ReplayRule> = new Map(
  Object.entries(POLICIES).flatMap(([name, {replay}]) => (replay ? [[name, replay]] : [])),
);

function byThreshold(policy: ThresholdPolicy): PolicyDefinition {
  return {create: (plan) => policy(thresholdOptions(plan)), replay: policy.replay};
}

function thresholdOptions({
  threshold = null,
  schedule: name = 'constant',
  tau,
  beta,
  rows,
}: StackPlan): ThresholdOptions & {schedule: Schedule} {
  return {threshold, schedule: {name, tau, beta}, rows};
}

/**
 * The policy of a plan. Policies may remember what they saw: make one for every answer.
 * @param depths   the model's stacks, optional ones included
 * @throws         UsageError for an unknown policy, a stack that the model lacks, or a threshold that is no number
 */
export function createPolicy(plan: ExitPlan, depths: Readonly<Partial<Record<StackName, number>>>): ExitPolicy {
  checkArguments('createPolicy', {plan: [plan, fields({stacks: OBJECT})], depths: [depths, OBJECT]});
  for (const [stack, own] of Object.entries(plan.stacks))
    checkArguments('createPolicy', {[`plan.stacks.${stack}`]: [own, fields({policy: TEXT})]});
  const entries = Object.entries(plan.stacks) as [StackName, StackPlan][];
  const policies = entries.map(([stack, stackPlan]) => {
    const depth = depths[stack];
    if (depth !== undefined) return [stack, stackPolicy(stack, stackPlan, plan.mode, depth)];
    // A plan that never exits may name any stack: thresholds that were not given must fit a joint encoder, too.
    if (neverExits(stackPlan)) return [stack, never];
    throw unknownStack(stack, Object.keys(depths) as StackName[]);
  });
  checkDrafts(entries);
  return stackPolicies(Object.fromEntries(policies));
}

/**
 * Only the stack that writes can draft, and no other exit may decide anew for every token: what is verified would
 * depend on what was drafted.
 * @throws UsageError 'plan-draft'
 */
function checkDrafts(entries: readonly (readonly [StackName, StackPlan])[]): void {
  const drafting = entries.filter(([, {policy}]) => policy === 'draft').map(([stack]) => stack);
  if (drafting.length === 0) return;
  const wrong = drafting.find((stack) => !producesTokens(stack));
  if (wrong) throw new UsageError('plan-draft', `the stack '${wrong}' writes no tokens: it cannot draft any`);
  const other = entries.find(([stack, plan]) => plan.policy !== 'draft' && runsPerToken(stack) && !neverExits(plan));
  if (other)
    throw new UsageError(
      'plan-draft',
      `beside a stack that drafts, '${other[0]}' cannot exit: it runs for every token`,
    );
}

function stackPolicy(stack: StackName, plan: StackPlan, mode: Mode, depth: number): ExitPolicy {
  if (plan.policy === 'oracle')
    throw new UsageError(
      'plan-oracle',
      'an oracle knows the answer of the last layer, so that it can be replayed from a recording, but not run',
      {hint: 'Use `mue sweep`.'},
    );
  if (Object.hasOwn(POLICIES, plan.policy)) return POLICIES[plan.policy]!.create(plan, mode, stack, depth);
  throw new UsageError(
    'plan-policy',
    `the exit plan asks for the policy '${plan.policy}' in '${stack}'; known are ${POLICY_NAMES.join(', ')}`,
  );
}

function neverExits({policy, threshold = null}: StackPlan): boolean {
  return policy === 'never' || (policy === 'similarity' && threshold === null);
}

function unknownStack(stack: StackName, known: readonly StackName[]): UsageError {
  const joint = known.includes('encoder');
  return new UsageError(
    'plan-stack',
    `the exit plan speaks of the stack '${stack}', but this model has ${known.join(', ')}`,
    {
      hint: joint
        ? "A model with a joint encoder has one stack 'encoder'; only one trained with MuE has 'encoder.image' and 'encoder.text'."
        : `Thresholds by these names: --thres ${known
            .filter((name) => !isOptional(name))
            .map((name) => `${name}=0.9`)
            .join(',')}`,
    },
  );
}
