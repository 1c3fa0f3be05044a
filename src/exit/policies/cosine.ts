import * as tf from '@tensorflow/tfjs';
import {joined, type JoinedOwner, shapeKey} from '../../runtime/joined.js';
import {hostMemory} from '../../runtime/kernels.js';

/** Cosine of two tensors of one shape, each flattened whole (docs/reference/ofa-mue.md 10.3). */
export async function cosine(a: tf.Tensor, b: tf.Tensor): Promise<number> {
  return (await rowCosines(a, b, 1))[0]!;
}

/**
 * Cosine of every row, all its positions as one vector. Sums in double precision where tensors lie in this process's
 * memory; on a device by two-level sums in float32 and one read of three numbers a row.
 * @param rows the tensors' leading axis, or 1 for all as one
 */
export async function rowCosines(a: tf.Tensor, b: tf.Tensor, rows: number = a.shape[0]!): Promise<number[]> {
  return hostMemory() ? byHost(await read(a), await read(b), rows) : await byDevice(a, b, rows);
}

/**
 * The output of a layer is the input of the next: its numbers are read once for both comparisons, and forgotten with
 * the tensor.
 */
const seen = new WeakMap<tf.DataId, Promise<tf.TypedArray>>();

function read(x: tf.Tensor): Promise<tf.TypedArray> {
  const values = seen.get(x.dataId) ?? x.data();
  seen.set(x.dataId, values);
  return values;
}

function byHost(x: tf.TypedArray, y: tf.TypedArray, rows: number): number[] {
  const size = x.length / rows;
  return Array.from({length: rows}, (_, row) => {
    // Two of each sum at once: one would wait for each addition before the next.
    let ab = 0;
    let aa = 0;
    let bb = 0;
    let cd = 0;
    let cc = 0;
    let dd = 0;
    const end = (row + 1) * size;
    let i = row * size;
    for (; i + 1 < end; i += 2) {
      const a = x[i]!;
      const b = y[i]!;
      const c = x[i + 1]!;
      const d = y[i + 1]!;
      ab += a * b;
      aa += a * a;
      bb += b * b;
      cd += c * d;
      cc += c * c;
      dd += d * d;
    }
    if (i < end) {
      ab += x[i]! * y[i]!;
      aa += x[i]! ** 2;
      bb += y[i]! ** 2;
    }
    return (ab + cd) / Math.sqrt((aa + cc) * (bb + dd));
  });
}

/** The sums use no weights. */
const COSINE: JoinedOwner = {config: {}, weights: [], getClassName: () => 'MueCosine'};

/**
 * The sums that cosines are made of, as one call where the device can (`joined`).
 * @returns   a·b, a·a and b·b of every row [3, rows], the caller's
 */
export function cosineSums(a: tf.Tensor, b: tf.Tensor, rows: number): tf.Tensor2D {
  const key = `${shapeKey([a], [0])}, ${rows === a.shape[0] ? 'each' : `${rows} rows of ${a.shape[0]}`}`;
  const [sums] = joined(COSINE, key, [a, b], () => {
    const width = a.shape[a.shape.length - 1]!;
    const shape = [rows, a.size / rows / width, width];
    const dot = (x: tf.Tensor, y: tf.Tensor): tf.Tensor => x.mul(y).reshape(shape).sum(-1).sum(-1);
    return [tf.stack([dot(a, b), dot(a, a), dot(b, b)]) as tf.Tensor2D];
  });
  return sums;
}

async function byDevice(a: tf.Tensor, b: tf.Tensor, rows: number): Promise<number[]> {
  const sums = cosineSums(a, b, rows);
  const values = await sums.data();
  sums.dispose();
  return Array.from({length: rows}, (_, r) => values[r]! / Math.sqrt(values[rows + r]! * values[2 * rows + r]!));
}
