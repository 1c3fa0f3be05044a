import {UsageError} from '../../runtime/errors.js';
import {type Drafting, type ExitPolicy, memoryless, never, type StackName, stackPolicies} from '../policy.js';
import {confidences} from './confidence.js';
import {checkThreshold} from './threshold.js';

/** K where a plan does not say. */
const DRAFT_LENGTH = 8;

/**
 * Exits that lose nothing: the first layers draft, the others verify (LayerSkip, Elhoushi et al. 2024,
 * https://arxiv.org/abs/2404.16710). By itself it never exits, so that whatever does not draft, a score or a recording,
 * computes what `never` computes.
 * @param depth   of the stack
 * @throws        UsageError for numbers that cannot be
 */
export function draft(
  {layers, threshold, draftLength = DRAFT_LENGTH}: Partial<Drafting> & Pick<Drafting, 'layers' | 'threshold'>,
  depth: number,
): ExitPolicy {
  checkThreshold(threshold);
  if (!Number.isInteger(layers) || layers < 1 || layers >= depth)
    throw new UsageError(
      'draft-depth',
      `${depth} layers can be drafted for by 1 to ${depth - 1} of them, not ${layers}`,
    );
  if (!Number.isInteger(draftLength) || draftLength < 1)
    throw new UsageError('draft-length', `draftLength must be a whole number from 1, not ${draftLength}`);
  return {...never, name: 'draft', drafting: {layers, threshold, draftLength}};
}

/** The policy of a drafted token: the stack that writes is left after d layers, and the margin there is measured. */
export function draftPass(stack: StackName, {layers, threshold}: Drafting): ExitPolicy {
  const leaving = memoryless('draft', async (_before, _after, at, logits) => {
    if (at[0]!.layer < layers) return at.map(() => ({exit: false}));
    return (await confidences(logits())).map(({margin}) => ({exit: true, score: margin, threshold}));
  });
  return stackPolicies({[stack]: leaving});
}
