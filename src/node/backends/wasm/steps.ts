import * as tf from '@tensorflow/tfjs';
import {biasTable, keyValuePanels} from './attention.js';
import {ACTIVATIONS, ceil8, floatBits, type KernelHeap} from './heap.js';

// The parts of a decoder layer for few rows, each as one call: what costs there is calls more than numbers. Every number
// is computed in the order of the kernels that these stand for.
//
// R rows (one new token each), B images, K = R / B rows an image, D width, H heads, d = D / H, F hidden width, n keys with
// the new ones, S keys of the memory

type Inputs = Readonly<Record<string, tf.TensorInfo>>;
interface StepAttributes {
  readonly heads: number;
  /** What queries are multiplied by. */
  readonly factor: number;
  readonly epsilon: number;
  readonly biases: number;
}

/** Registers `MueSelfAttentionStep`, `MueCrossAttentionStep` and `MueFeedForwardStep`. */
export function registerSteps(heap: KernelHeap): void {
  const kernels: Readonly<Record<string, (step: Step) => tf.TensorInfo[]>> = {
    MueSelfAttentionStep: selfAttention,
    MueCrossAttentionStep: crossAttention,
    MueFeedForwardStep: feedForward,
  };
  for (const [kernelName, compute] of Object.entries(kernels))
    tf.registerKernel({
      kernelName,
      backendName: 'wasm',
      kernelFunc: ({inputs, attrs}) =>
        compute(new Step(heap, inputs as unknown as Inputs, attrs as unknown as StepAttributes)),
    });
}

/** Rows that a part works on, and matrices between its kernels, all [R, …] in scratch memory. */
class Step {
  readonly R: number;
  readonly D: number;
  readonly x: number;
  #next = 0;

  constructor(
    readonly heap: KernelHeap,
    readonly inputs: Inputs,
    readonly attributes: StepAttributes,
  ) {
    const {shape} = inputs.x!;
    [this.R, this.D] = [shape[0]!, shape.at(-1)!];
    this.x = heap.address(inputs.x);
  }

  /** Makes room for matrices [R, width]: call first, with the sum of their widths. */
  reserve(width: number): void {
    this.#next = this.heap.reserveRows(4 * this.R * width);
  }

  /** A matrix [R, width] of the room. */
  rows(width: number): number {
    const address = this.#next;
    this.#next += 4 * this.R * width;
    return address;
  }

  address(name: string): number {
    return this.heap.address(this.inputs[name]);
  }

  /** Layer norm by the weights `${name}Gain` and `${name}Bias`; x itself where there are none. */
  norm(name: string, x: number, width = this.D): number {
    const gain = this.address(`${name}Gain`);
    if (gain === 0) return x;
    const to = this.rows(width);
    const epsilon = floatBits(this.attributes.epsilon);
    this.heap.run('layer_norm', 1, [x, gain, this.address(`${name}Bias`), to, this.R, width, epsilon, this.R]);
    return to;
  }

  /** x · weight + bias of a linear map. */
  linear(name: string, x: number, activation: 'linear' | 'gelu' = 'linear'): number {
    const weight = this.inputs[`${name}Weight`]!;
    const [K, N] = weight.shape as [number, number];
    const to = this.rows(N);
    const panels = this.heap.panels(weight, K, N);
    const columns = this.heap.pieceSize(N, this.R * K * N, 8);
    const parameters = [x, this.R, K, panels, N, this.address(`${name}Bias`), to, ACTIVATIONS[activation]!, columns];
    this.heap.run('few_rows', Math.ceil(N / columns), parameters);
    return to;
  }

  /** to [R, D] = x · factor · gain + addend. */
  combine(x: number, {factor = 1, gain = 0, addend = 0}, to: number): void {
    this.heap.run('combine', 1, [x, floatBits(factor), gain, addend, to, this.R, this.D]);
  }

  /** A new tensor of the shape of x: x + the normed projection of what heads gave. */
  residual(heads: number): tf.TensorInfo {
    const out = this.heap.output([...this.inputs.x!.shape]);
    this.combine(this.norm('outer', this.linear('out', heads)), {addend: this.x}, this.heap.address(out));
    return out;
  }
}

/** x + attention of the new token to itself and those before it, and the grown keys and values. */
function selfAttention(step: Step): tf.TensorInfo[] {
  const {heap, R, D, inputs, attributes} = step;
  const {heads: H, factor, biases} = attributes;
  const d = D / H;
  const before = inputs.values?.shape[2] ?? 0;
  const n = before + 1;
  step.reserve(7 * D);
  const normed = step.norm('inner', step.x);
  const queries = step.linear('q', normed);
  step.combine(queries, {factor}, queries);
  const [newKeys, newValues] = [step.linear('k', normed), step.linear('v', normed)];
  const [keys, values] = [heap.output([R, H, d, n]), heap.output([R, H, n, d])];
  const [k, v] = [heap.address(keys), heap.address(values)];
  heap.run('append', 1, [step.address('keys'), newKeys, k, R * D, before, 1]);
  heap.run('append', 1, [step.address('values'), newValues, v, R * H, before * d, d]);
  const mixed = step.rows(D);
  const table = biasTable(heap, inputs, biases);
  const parameters = [queries, H, n, d, k, v, table, biases, step.address('scale'), mixed, R * H, R * H];
  heap.run('attend_once', 1, parameters, 4 * ceil8(n));
  return [step.residual(mixed), keys, values];
}

/** x + attention to a memory that is read again, by the rows of an image at once. */
function crossAttention(step: Step): tf.TensorInfo[] {
  const {heap, R, D, inputs, attributes} = step;
  const {heads: H, factor, biases} = attributes;
  const d = D / H;
  const [B, , S] = inputs.values!.shape as [number, number, number];
  const K = R / B;
  step.reserve(5 * D);
  const queries = step.linear('q', step.norm('inner', step.x));
  step.combine(queries, {factor}, queries);
  const [k, v] = keyValuePanels(heap, inputs.keys!, inputs.values!);
  const mixed = step.rows(D);
  const table = biasTable(heap, inputs, biases);
  const parameters = [queries, H, K, S, d, k, v, table, biases, step.address('scale'), mixed, 1, K, K * D, d, D];
  heap.run('attend', B * H, parameters, 4 * 4 * ceil8(S));
  return [step.residual(mixed)];
}

/** x · residual + fc2(norm(gelu(fc1(norm(x))))). */
function feedForward(step: Step): tf.TensorInfo[] {
  const {heap, D, inputs} = step;
  const hidden = inputs.fc1Weight!.shape[1]!;
  step.reserve(4 * D + 2 * hidden);
  const inner = step.linear('fc1', step.norm('inner', step.x), 'gelu');
  const outer = step.linear('fc2', step.norm('hidden', inner, hidden));
  const gain = step.address('residual');
  const residual = gain === 0 ? step.x : step.rows(D);
  if (gain !== 0) step.combine(step.x, {gain}, residual);
  const out = heap.output([...inputs.x!.shape]);
  step.combine(residual, {addend: outer}, heap.address(out));
  return [out];
}
