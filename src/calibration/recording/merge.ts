import {UsageError} from '../../runtime/errors.js';
import type {Recording} from './entailment.js';

/** Two recordings of one model as one pool of items. The header is the first's. @throws UsageError `recordings-differ` */
export function mergeRecordings(a: Recording, b: Recording): Recording {
  const key = ({header: {model, answers, stacks}}: Recording): string => JSON.stringify({model, answers, stacks});
  if (key(a) !== key(b))
    throw new UsageError('recordings-differ', 'recordings of different models, answers or depths cannot be pooled');
  const join = (name: 'image' | 'text' | 'similarity' | 'logits'): Float32Array => {
    const joined = new Float32Array(a[name].length + b[name].length);
    joined.set(a[name]);
    joined.set(b[name], a[name].length);
    return joined;
  };
  return {
    ...a,
    n: a.n + b.n,
    rows: [...a.rows, ...b.rows],
    image: join('image'),
    text: join('text'),
    similarity: join('similarity'),
    logits: join('logits'),
    labels: Uint8Array.from([...a.labels, ...b.labels]),
  };
}
