import {float32ToFloat16} from '../checkpoint/float16.js';

/**
 * How a weight of a checkpoint is laid out in a converted model: a linear weight is transposed to [in, out], a convolution goes from
 * OIHW to HWIO, a tied embedding from [V, D] to [D, V]; everything else stays.
 */
export type WeightLayout = 'plain' | 'linear' | 'conv' | 'embedding-transposed';

/** A weight of a converted model. */
export interface StoredWeight {
  /** The checkpoint's name, or one made of it where the checkpoint fuses several weights. */
  readonly name: string;
  /** As stored in a converted model. */
  readonly shape: readonly number[];
  readonly layout: WeightLayout;
  /** What stands in for it where a checkpoint lacks it; without one, lacking it is an error. */
  readonly neutral?: 0 | 1;
  /** A running statistic of a batch norm: stored, but no parameter. */
  readonly statistic?: true;
}

/** Shape of a weight in the authors' checkpoints: the layout undone. */
export function checkpointShape({shape, layout}: StoredWeight): readonly number[] {
  if (layout === 'linear' || layout === 'embedding-transposed') return [...shape].reverse();
  if (layout !== 'conv') return shape;
  const [height, width, inputs, outputs] = shape as readonly [number, number, number, number];
  return [outputs, inputs, height, width];
}

/** Parameters as the authors count them: tied weights once, batch-norm gains and biases, no running statistics. */
export function parameterCount(weights: readonly StoredWeight[]): number {
  return weights.reduce((sum, {shape, statistic}) => sum + (statistic ? 0 : shape.reduce((product, n) => product * n, 1)), 0);
}

type Store = Float32Array<ArrayBufferLike> | Uint16Array<ArrayBufferLike>;

/**
 * A weight as a converted model stores it, from the checkpoint's own layout: transposed where the table says so, as float32 or as half
 * bits (rounded to nearest even). Float32 values whose layout stays are returned as they are, not copied.
 */
export function toStored(values: Float32Array, {shape, layout}: StoredWeight, dtype: 'F16' | 'F32'): Store {
  const source = dtype === 'F16' ? float32ToFloat16(values) : values;
  if (layout === 'plain') return source;
  const out = source instanceof Uint16Array ? new Uint16Array(source.length) : new Float32Array(source.length);
  if (layout === 'conv') permuteConv(source, out, shape as readonly [number, number, number, number]);
  else transpose(source, out, shape[1]!, shape[0]!);
  return out;
}

/** [rows, columns] → [columns, rows], in tiles, so that reads and writes stay in the cache. */
function transpose(source: Store, out: Store, rows: number, columns: number): void {
  const tile = 64;
  for (let r0 = 0; r0 < rows; r0 += tile)
    for (let c0 = 0; c0 < columns; c0 += tile) {
      const [r1, c1] = [Math.min(r0 + tile, rows), Math.min(c0 + tile, columns)];
      for (let c = c0; c < c1; c++) for (let r = r0; r < r1; r++) out[c * rows + r] = source[r * columns + c]!;
    }
}

/** [out, in, height, width] → [height, width, in, out]. */
function permuteConv(source: Store, out: Store, [height, width, inputs, outputs]: readonly [number, number, number, number]): void {
  const area = height * width;
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++)
      for (let p = 0; p < area; p++) out[(p * inputs + i) * outputs + o] = source[(o * inputs + i) * area + p]!;
}
