import {UsageError} from '../../runtime/errors.js';
import {mapStacks} from '../stacks.js';
import type {Recording} from './entailment.js';

/**
 * Two recordings of one model as one pool of items. The header is the first's.
 * @throws UsageError `recordings-differ`
 */
export function mergeRecordings(a: Recording, b: Recording): Recording {
  const key = ({header: {model, answers, stacks}}: Recording): string => JSON.stringify({model, answers, stacks});
  if (key(a) !== key(b))
    throw new UsageError('recordings-differ', 'recordings of different models, answers or depths cannot be pooled');
  return {
    header: a.header,
    rows: [...a.rows, ...b.rows],
    n: a.n + b.n,
    similarity: mapStacks(a.header.stacks, (stack) => join(a.similarity[stack]!, b.similarity[stack]!)),
    logits: join(a.logits, b.logits),
    labels: Uint8Array.from([...a.labels, ...b.labels]),
  };
}

function join(a: Float32Array, b: Float32Array): Float32Array {
  const joined = new Float32Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
