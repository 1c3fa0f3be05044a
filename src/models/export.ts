import type {Checkpoint, PlainValue} from '../checkpoint/checkpoint.js';
import {type DType, toFloat32} from '../checkpoint/dtype.js';
import {orderedDict, type Pickled, type Storage, Tensor} from '../checkpoint/pickle-writer.js';
import {bytesOf, type TensorPlan} from '../checkpoint/safetensors.js';
import type {TorchFileContent} from '../checkpoint/torch-zip-writer.js';
import type {StoredWeight} from '../nn/block.js';
import {WeightsError} from '../runtime/errors.js';
import type {ExportFormat} from './export-formats.js';
import {checkpointShape, fromStored} from './weights.js';

/** A tensor of the authors' file: some weights of the model, or one number everywhere. */
export interface ExportedTensor {
  readonly name: string;
  /** Several follow each other along the tensor's first axis. */
  readonly content:
    | readonly StoredWeight[]
    | {readonly dtype: DType; readonly shape: readonly number[]; readonly value: number};
}

/** How a model looks in its authors' files. */
export interface ModelExport {
  /** The name of the file of weights; `.safetensors` is one, all others are torch's. */
  readonly file: string;
  readonly tensors: readonly ExportedTensor[];
  /** Further names of tensors, by name: torch's files have them on the same storage. */
  readonly tied: ReadonlyMap<string, string>;
  /** What a torch file holds around the weights; nothing by default. */
  readonly around?: (weights: Pickled) => Pickled;
  /** A file of settings beside the weights. */
  readonly settings?: {readonly file: string; readonly json: PlainValue};
  /** Decisions that deserve a word. */
  readonly notes: readonly string[];
}

/** @throws WeightsError `cannot-export`: a format that has no place for a model, and why */
export function refuseExport(format: ExportFormat, why: string): never {
  throw new WeightsError('cannot-export', `The model cannot be exported to '${format}': ${why}.`, {
    hint: 'Other formats: --to pt, --to safetensors.',
  });
}

/** Type and shape of an exported tensor. @param model the model folder's weights */
export function exportedPlan({name, content}: ExportedTensor, model: Checkpoint): TensorPlan {
  if ('value' in content) return {name, dtype: content.dtype, shape: content.shape};
  const [rows, ...rest] = checkpointShape(content[0]!);
  const whole = content.every((weight) => model.entry(weight.name).dtype === 'F16');
  // A number has no rows.
  const shape = rows === undefined ? [] : [content.length * rows, ...rest];
  return {name, dtype: whole ? 'F16' : 'F32', shape};
}

/** Little-endian bytes of an exported tensor, as its authors lay it out; the caller's. */
export async function exportedBytes(tensor: ExportedTensor, model: Checkpoint): Promise<Uint8Array> {
  const {content} = tensor;
  const {dtype, shape} = exportedPlan(tensor, model);
  if ('value' in content) return constantBytes(dtype, shape, content.value);
  const parts: Uint8Array[] = [];
  for (const weight of content)
    parts.push(bytesOf(fromStored(toFloat32(await model.read(weight.name)), weight, dtype === 'F16' ? 'F16' : 'F32')));
  return parts.length === 1 ? parts[0]! : joined(parts);
}

function constantBytes(dtype: DType, shape: readonly number[], value: number): Uint8Array {
  const count = shape.reduce((product, n) => product * n, 1);
  return bytesOf(dtype === 'I64' ? new BigInt64Array(count).fill(BigInt(value)) : new Float32Array(count).fill(value));
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, {length}) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The content of an export's torch file: the n-th tensor is storage n, also under its further names. */
export function torchContent({tensors, tied, around}: ModelExport, model: Checkpoint): TorchFileContent {
  const storages: Storage[] = [];
  const state = new Map<string, Pickled>();
  for (const tensor of tensors) {
    const {name, dtype, shape} = exportedPlan(tensor, model);
    const storage = {key: String(storages.length), dtype, length: shape.reduce((product, n) => product * n, 1)};
    storages.push(storage);
    state.set(name, new Tensor(storage, shape));
    for (const [copy, of] of tied) if (of === name) state.set(copy, new Tensor(storage, shape));
  }
  const weights = orderedDict(state);
  return {top: around ? around(weights) : weights, storages};
}
