import * as tf from '@tensorflow/tfjs';
import {seededRandom} from '../../src/runtime/random.js';
import type {Block} from '../../src/nn/block.js';

/** A block, what it is given, and what it computes of that. */
export interface Differentiable {
  readonly block: Block;
  /** Shapes of the inputs that gradients flow to, filled at random. */
  readonly inputs: readonly (readonly number[])[];
  /** Any tensor. @param inputs in the order of their shapes */
  readonly forward: (...inputs: tf.Tensor[]) => tf.Tensor;
  /** The step of the differences; smaller where the function has kinks. */
  readonly step?: number;
}

/** How far a slope along a random direction is from the gradient's. */
export interface SlopeError {
  /** Of the weight or input that was changed. */
  readonly name: string;
  /** Share of the larger slope, beside what rounding leaves of it. */
  readonly error: number;
}

/**
 * Rounding in float32: a difference of two losses is exact to about 1e-7 · √(outputs) of one output, which the step
 * divides; what the third derivative adds is about the step's square. Both are below this share of all gradients.
 */
const ROUNDING = 1e-3;

/**
 * Compares the gradient by every weight and input with central differences, along a direction that is half the
 * gradient's own and half random: where the gradient misses something, or has something too much, the slopes differ. The
 * loss is a random sum of the outputs, taken in double precision. Weights are random as well; the block is built, and
 * disposed.
 */
export function slopeErrors({block, inputs, forward, step = 1e-2}: Differentiable, seed = 1): readonly SlopeError[] {
  const random = seededRandom(seed);
  const uniform = (size: number, scale: number): Float32Array =>
    Float32Array.from({length: size}, () => scale * (2 * random.next() - 1));
  block.build();
  const named = [
    ...block.trainableWeights.map((weight) => ({name: weight.originalName, variable: weight.read() as tf.Variable})),
    ...inputs.map((shape, i) => ({name: `input ${i}`, variable: tf.tidy(() => tf.variable(tf.zeros([...shape])))})),
  ];
  const write = (variable: tf.Variable, values: Float32Array): void => {
    const tensor = tf.tensor(values.slice(), variable.shape);
    variable.assign(tensor);
    tensor.dispose();
  };
  for (const {variable} of named) write(variable, uniform(variable.size, 0.8));
  const given = named.slice(named.length - inputs.length).map(({variable}) => variable);
  const compute = (): tf.Tensor => forward(...given);
  const values = (): Float32Array => {
    const y = tf.tidy(compute);
    const read = y.dataSync().slice() as Float32Array;
    y.dispose();
    return read;
  };
  const factors = uniform(values().length, 1);
  const loss = (): number => values().reduce((sum, y, i) => sum + y * factors[i]!, 0);
  const {value, grads} = tf.variableGrads(
    () => {
      const y = compute();
      return y.mul(tf.tensor(factors.slice(), y.shape)).sum() as tf.Scalar;
    },
    named.map(({variable}) => variable),
  );
  const gradients = named.map(({variable}) =>
    grads[variable.name] ? (grads[variable.name]!.dataSync().slice() as Float32Array) : new Float32Array(variable.size),
  );
  tf.dispose([value, grads]);
  const rest = ROUNDING * Math.hypot(...gradients.map(norm));
  const errors = named.map(({name, variable}, i) => {
    const gradient = gradients[i]!;
    const noise = uniform(gradient.length, 1);
    const direction = gradient.map((g, j) => g / (norm(gradient) || 1) + noise[j]! / norm(noise));
    const long = norm(direction);
    const start = variable.dataSync().slice() as Float32Array;
    const at = (distance: number): number => {
      write(
        variable,
        start.map((x, j) => x + (distance * direction[j]!) / long),
      );
      return loss();
    };
    const slope = (at(step) - at(-step)) / (2 * step);
    write(variable, start);
    const wanted = gradient.reduce((sum, g, j) => sum + (g * direction[j]!) / long, 0);
    const error = Math.abs(slope - wanted) / (Math.max(Math.abs(slope), Math.abs(wanted)) + rest);
    return {name, error};
  });
  tf.dispose(given);
  block[Symbol.dispose]();
  return errors;
}

function norm(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
}
