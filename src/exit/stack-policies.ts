import {type ExitPolicy, never, type StackName} from './policy.js';

/** One policy a stack; a stack left out never exits. */
export function stackPolicies(policies: Readonly<Partial<Record<StackName, ExitPolicy>>>): ExitPolicy {
  const names = new Set(Object.values(policies).map((policy) => policy.name));
  return {
    name: names.size === 1 ? [...names][0]! : names.size === 0 ? never.name : 'mixed',
    observe: (before, after, at, logits) => (policies[at.stack] ?? never).observe(before, after, at, logits),
  };
}
