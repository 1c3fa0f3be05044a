import {WeightsError} from '../runtime/errors.js';
import type {Checkpoint} from './checkpoint.js';
import {toFloat32} from './dtype.js';
import type {RandomAccess} from './random-access.js';
import {SafetensorsFile} from './safetensors.js';
import {openShards} from './shards.js';

/** The weights of a converted model folder, read one at a time. Disposing it closes the files. */
export interface ModelWeights extends Disposable {
  names(): string[];
  /** @throws WeightsError if there is no such weight */
  shape(name: string): number[];
  /** The values of a weight as float32, row-major; the array is the caller's. */
  read(name: string): Promise<Float32Array>;
}

const INDEX = 'model.safetensors.index.json';
const SINGLE = 'model.safetensors';

/**
 * Opens the weights of a converted model: `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
 * @param open  opens a file of the folder, which is closed when the result is disposed, or at once on an error
 * @param files the names of the files in the folder
 * @returns the weights, the caller's to dispose
 * @throws WeightsError if there are no weights, or they are damaged
 */
export async function openModelWeights(
  open: (file: string) => Promise<RandomAccess & Disposable>,
  files: readonly string[],
): Promise<ModelWeights> {
  const openFile = async (file: string): Promise<Checkpoint> => {
    if (!files.includes(file))
      throw new WeightsError('missing-file', `${file} is listed by ${INDEX}, but is not in the folder.`);
    const access = await open(file);
    try {
      return await SafetensorsFile.open(access);
    } catch (error) {
      access[Symbol.dispose]();
      throw error;
    }
  };
  if (files.includes(INDEX)) return view(await openShards(INDEX, await text(await open(INDEX)), openFile));
  if (files.includes(SINGLE)) return view(await openFile(SINGLE));
  throw new WeightsError('not-a-model', `There is no ${SINGLE} (nor ${INDEX}) in the folder.`, {
    hint: "A model folder is what 'mue convert' writes.",
  });
}

function view(checkpoint: Checkpoint): ModelWeights {
  return {
    names: () => [...checkpoint.names()],
    shape: (name) => [...checkpoint.entry(name).shape],
    read: async (name) => toFloat32(await checkpoint.read(name)),
    [Symbol.dispose]: () => checkpoint[Symbol.dispose](),
  };
}

/** Reads a small text file, and closes it. */
async function text(access: RandomAccess & Disposable): Promise<string> {
  using file = access;
  if (file.size > 2 ** 26)
    throw new WeightsError('damaged-shards', `${file.name}: ${file.size} bytes are too many for an index.`);
  return new TextDecoder().decode(await file.read(0, file.size));
}
