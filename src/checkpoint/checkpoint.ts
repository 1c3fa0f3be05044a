import {WeightsError} from '../runtime/errors.js';
import type {DType, TensorData} from './dtype.js';

/** The type and shape of a stored tensor. */
export interface TensorEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Plain data, as in JSON. */
export type PlainValue =
  | null
  | boolean
  | number
  | string
  | readonly PlainValue[]
  | {readonly [key: string]: PlainValue};

/**
 * Named tensors that are read one at a time, whatever the format and the length of the file. Disposing it closes the
 * file.
 */
export interface Checkpoint extends Disposable {
  /** Its name in messages. */
  readonly source: string;
  readonly format: 'torch' | 'safetensors';
  /** The configuration that was saved with the weights; null where the format has none. */
  readonly cfg: PlainValue;
  /** The classes that the file names, which were not built but kept as inert data (torch files only). */
  readonly placeholders: readonly string[];
  /** The names of all tensors, in file order. */
  names(): readonly string[];
  has(name: string): boolean;
  /** @throws WeightsError if there is no such tensor */
  entry(name: string): TensorEntry;
  /**
   * The values of a tensor, row-major, halves widened to float32. The array is the caller's.
   * @throws WeightsError if there is no such tensor, or the file is cut off
   */
  read(name: string): Promise<TensorData>;
  /** Whether two names are known to be the same bytes of one storage. False may also mean "not known". */
  sameStorage(a: string, b: string): boolean;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function unknownTensor(source: string, name: string): WeightsError {
  return new WeightsError('unknown-tensor', `${source}: there is no tensor '${name}'.`);
}
