import {isDeepStrictEqual} from 'node:util';
import {smallest} from '../../../../runtime/extremes.js';
import type {Constant, Recording} from './recording.js';

/** The place of a shape among the inputs of TensorFlow's Reshape. */
const SHAPE = 1;

/**
 * Makes one recording of two that differ in the length of leading axes (images, rows): where a shape differs in one
 * length, TensorFlow gets to compute that length from the others (-1).
 * @param a   may have such lengths already, of earlier recordings
 * @returns   undefined where they differ in anything else, so that one function cannot serve both
 */
export function withFreeSizes(a: Recording, b: Recording): Recording | undefined {
  const alike =
    a.operations.length === b.operations.length &&
    a.inputs.length === b.inputs.length &&
    isDeepStrictEqual(a.weights, b.weights);
  if (!alike) return undefined;
  // By the values of a, those of b.
  const same = new Map(a.inputs.map(({id}, i) => [id, b.inputs[i]!.id]));
  const constants = new Map(a.constants);
  const operations: Recording['operations'][number][] = [];
  // Numbers that no value has: those of TensorFlow are positive.
  let next = smallest([0, ...constants.keys()]) - 1;
  for (const [i, one] of a.operations.entries()) {
    const two = b.operations[i]!;
    if (one.operation !== two.operation || one.inputs.length !== two.inputs.length) return undefined;
    if (!isDeepStrictEqual(one.attributes, two.attributes)) return undefined;
    const inputs: number[] = [];
    for (const [place, id] of one.inputs.entries()) {
      const [mine, others] = [a.constants.get(id), b.constants.get(two.inputs[place]!)];
      if (!mine && !others) {
        if (same.get(id) !== two.inputs[place]) return undefined;
        inputs.push(id);
        continue;
      }
      if (!mine || !others) return undefined;
      if (isDeepStrictEqual(mine, others)) {
        inputs.push(id);
        continue;
      }
      const free = one.operation === 'Reshape' && place === SHAPE ? freeShape(mine, others) : undefined;
      if (!free) return undefined;
      constants.set(next, free);
      inputs.push(next--);
    }
    for (const [k, {id}] of one.outputs.entries()) same.set(id, two.outputs[k]!.id);
    operations.push({...one, inputs});
  }
  if (!a.outputs.every(({id}, i) => same.get(id) === b.outputs[i]!.id)) return undefined;
  const used = new Set(operations.flatMap(({inputs}) => inputs));
  return {...a, operations, constants: new Map([...constants].filter(([id]) => used.has(id)))};
}

/** A shape with the one length free in which two differ. */
function freeShape(a: Constant, b: Constant): Constant | undefined {
  const differing = Array.from(a.values, (n, axis) => n !== b.values[axis]);
  if (a.values.length !== b.values.length || differing.filter(Boolean).length !== 1) return undefined;
  const values = Int32Array.from(a.values, (n, axis) => (differing[axis] ? -1 : n));
  return values.filter((n) => n === -1).length === 1 ? {...a, values} : undefined;
}
