import {type ExitPolicy, never, type Position, type StackName} from './policy.js';

/** One policy a stack; a stack left out never exits. */
export function stackPolicies(policies: Readonly<Partial<Record<StackName, ExitPolicy>>>): ExitPolicy {
  const all = Object.values(policies);
  const names = new Set(all.map((policy) => policy.name));
  const of = ({stack}: Position): ExitPolicy => policies[stack] ?? never;
  return {
    name: names.size === 1 ? [...names][0]! : names.size === 0 ? never.name : 'mixed',
    observe: (before, after, at, logits) => of(at).observe(before, after, at, logits),
    ...(all.every((policy) => policy.observeEach)
      ? {observeEach: (before, after, at, logits) => of(at[0]!).observeEach!(before, after, at, logits)}
      : {}),
  };
}
