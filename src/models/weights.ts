import type {Checkpoint} from '../checkpoint/checkpoint.js';
import {type DType, isFloat, toFloat32} from '../checkpoint/dtype.js';
import {float32ToFloat16} from '../checkpoint/float16.js';
import type {StoredWeight} from '../nn/block.js';
import {WeightsError} from '../runtime/errors.js';

/** One weight of the model and where it comes from. */
export interface ImportedWeight extends StoredWeight {
  /** Name in the checkpoint; null where the neutral value stands in. */
  readonly source: string | null;
  readonly dtype: DType;
  /** The part of the checkpoint's tensor that it is, along the first axis, where several weights are fused in one. */
  readonly rows?: {readonly first: number; readonly count: number; readonly of: number};
  /** Makes the model's values of the checkpoint's, which have another shape (positions of another grid). */
  readonly adapt?: (values: Float32Array) => Float32Array;
}

/** How a checkpoint becomes a model: decided from names, shapes and settings, before any weight is read. */
export interface ModelImport<C> {
  readonly config: C;
  /** All weights, in the order of the table. */
  readonly weights: readonly ImportedWeight[];
  readonly ignored: readonly {readonly name: string; readonly reason: string}[];
  /** Decisions that deserve a word. */
  readonly notes: readonly string[];
  /** The folder that the settings name for the vocabulary. */
  readonly vocabularyFolder?: string | undefined;
}

/**
 * Values of one weight, as the checkpoint lays them out.
 * @throws WeightsError if one of them is NaN or infinite.
 */
export async function readImported(checkpoint: Checkpoint, weight: ImportedWeight): Promise<Float32Array> {
  if (weight.source === null) {
    const count = weight.shape.reduce((product, n) => product * n, 1);
    return new Float32Array(count).fill(weight.neutral ?? 0);
  }
  const values = part(toFloat32(await checkpoint.read(weight.source)), weight);
  let bad = 0;
  // NaN and the infinities are what does not give 0 here; one subtraction a value is all that hundreds of millions of
  // them can have.
  while (bad < values.length && values[bad]! - values[bad]! === 0) bad++;
  if (bad === values.length) return weight.adapt ? weight.adapt(values) : values;
  throw new WeightsError(
    'bad-values',
    `${checkpoint.source}: '${weight.source}' holds ${values[bad]} at element ${bad}: the training diverged, or the file is damaged.`,
  );
}

function part(values: Float32Array, {rows}: ImportedWeight): Float32Array {
  if (!rows) return values;
  const row = values.length / rows.of;
  return values.subarray(rows.first * row, (rows.first + rows.count) * row);
}

/**
 * @param missing weights that the checkpoint lacks; @param unknown its tensors that nobody asked for
 * @throws WeightsError listing both, if there are any
 */
export function checkComplete(source: string, missing: readonly string[], unknown: readonly string[]): void {
  const problems = [
    ...(missing.length ? [`${missing.length} missing: ${list(missing)}`] : []),
    ...(unknown.length ? [`${unknown.length} that the configuration does not ask for: ${list(unknown)}`] : []),
  ];
  if (problems.length === 0) return;
  throw new WeightsError(
    missing.length ? 'missing-weights' : 'unknown-weights',
    `${source}: the tensors are not those of its configuration: ${problems.join('; ')}.`,
    {
      hint: missing.length
        ? 'The file is incomplete, or its configuration belongs to another model.'
        : 'Adapters, prompts and other additions are not supported.',
    },
  );
}

/** @throws WeightsError listing every tensor whose shape or type is not what is expected of it */
export function checkTensors(
  checkpoint: Checkpoint,
  expected: Iterable<readonly [source: string, shape: readonly number[]]>,
): void {
  const problems: string[] = [];
  for (const [source, wanted] of expected) {
    const {shape, dtype} = checkpoint.entry(source);
    if (shape.join() !== wanted.join())
      problems.push(`'${source}' is [${shape.join(', ')}], the configuration asks for [${wanted.join(', ')}]`);
    else if (!isFloat(dtype))
      problems.push(`'${source}' is of type ${dtype}; weights are read as F32, F16, BF16 or F64`);
  }
  if (problems.length)
    throw new WeightsError(
      'wrong-shapes',
      `${checkpoint.source}: ${problems.length} of its tensors do not fit: ${list(problems, '; ')}.`,
    );
}

/** All of a short list; of a long one the first fifty. */
function list(items: readonly string[], separator = ', '): string {
  const rest = items.length - 50;
  return items.slice(0, 50).join(separator) + (rest > 0 ? `${separator}and ${rest} more` : '');
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
  return weights.reduce(
    (sum, {shape, statistic}) => sum + (statistic ? 0 : shape.reduce((product, n) => product * n, 1)),
    0,
  );
}

type Store = Float32Array<ArrayBufferLike> | Uint16Array<ArrayBufferLike>;

/**
 * A weight as a converted model stores it, from the checkpoint's own layout: transposed where the table says so, as
 * float32 or as half bits (rounded to nearest even). Float32 values whose layout stays are returned as they are, not
 * copied.
 */
export function toStored(values: Float32Array, {shape, layout}: StoredWeight, dtype: 'F16' | 'F32'): Store {
  const source = dtype === 'F16' ? float32ToFloat16(values) : values;
  if (layout === 'plain') return source;
  const out = source instanceof Uint16Array ? new Uint16Array(source.length) : new Float32Array(source.length);
  if (layout === 'conv') eachConvElement(shape as ConvShape, (from, to) => (out[to] = source[from]!));
  else transpose(source, out, shape[1]!, shape[0]!);
  return out;
}

/** A weight in the checkpoint's own layout, from a converted model's: `toStored` undone. */
export function fromStored(values: Float32Array, {shape, layout}: StoredWeight, dtype: 'F16' | 'F32'): Store {
  const source = dtype === 'F16' ? float32ToFloat16(values) : values;
  if (layout === 'plain') return source;
  const out = source instanceof Uint16Array ? new Uint16Array(source.length) : new Float32Array(source.length);
  if (layout === 'conv') eachConvElement(shape as ConvShape, (to, from) => (out[to] = source[from]!));
  else transpose(source, out, shape[0]!, shape[1]!);
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

/** A convolution's sizes as a converted model has them: height, width, in, out. */
type ConvShape = readonly [number, number, number, number];

/**
 * Goes through the elements of a convolution.
 * @param visit gets an element's place in [out, in, height, width], and in [height, width, in, out]
 */
function eachConvElement(
  [height, width, inputs, outputs]: ConvShape,
  visit: (checkpoint: number, converted: number) => void,
): void {
  const area = height * width;
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++)
      for (let p = 0; p < area; p++) visit((o * inputs + i) * area + p, (p * inputs + i) * outputs + o);
}
