import {WeightsError} from '../runtime/errors.js';
import type {DType, TensorData} from './dtype.js';

export interface TensorEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Data without classes, as JSON has it. */
export type PlainValue =
  | null
  | boolean
  | number
  | string
  | readonly PlainValue[]
  | {readonly [key: string]: PlainValue};

/** Named arrays behind a reader that fetches one at a time, whatever the file is called and however long it is. */
export interface Checkpoint extends Disposable {
  /** What messages call it. */
  readonly source: string;
  readonly format: 'torch' | 'safetensors';
  /** The configuration that was saved with the weights; null where the format has none. */
  readonly cfg: PlainValue;
  /** Classes that the file names and that were not built, but kept as inert data (torch files only). */
  readonly placeholders: readonly string[];
  /** In file order. */
  names(): readonly string[];
  has(name: string): boolean;
  /** @throws WeightsError if there is no such tensor. */
  entry(name: string): TensorEntry;
  /** Row-major values; halves are widened to float32. The array is the caller's. */
  read(name: string): Promise<TensorData>;
  /** Whether two names are known to be the same bytes of the same storage. False may also mean "not known". */
  sameStorage(a: string, b: string): boolean;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function unknownTensor(source: string, name: string): WeightsError {
  return new WeightsError('unknown-tensor', `${source}: there is no tensor '${name}'.`);
}
