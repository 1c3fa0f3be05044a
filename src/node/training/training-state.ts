import fs from 'node:fs';
import {z} from 'zod';
import {toFloat32} from '../../checkpoint/dtype.js';
import {bytesOf, SafetensorsFile, type TensorPlan, writeSafetensors} from '../../checkpoint/safetensors.js';
import type {StoredWeight} from '../../nn/block.js';
import {InputError} from '../../runtime/errors.js';
import type {TrainingState} from '../../training/trainer.js';
import {FileAccess} from '../model/file-access.js';
import {writeAtomic} from '../runs/write-atomic.js';
import {parseJson} from '../../runtime/parse-json.js';

/** The best validation so far. */
const bestSchema = z.strictObject({update: z.number(), value: z.number()});
export type Best = Readonly<z.infer<typeof bestSchema>>;

const progressSchema = z.strictObject({
  update: z.number().int().nonnegative(),
  skipped: z.number().int().nonnegative(),
  skippedInARow: z.number().int().nonnegative(),
  adamUpdates: z.number().int().nonnegative(),
  best: bestSchema.nullable(),
});

/** A training as it is kept: what the loop needs, and the best validation. */
export interface KeptState {
  readonly state: TrainingState;
  readonly best: Best | undefined;
}

const PARTS = ['weight', 'first', 'second'] as const;

/**
 * Writes the state of a training as a safetensors file, whole or not at all: for each trained weight its value and
 * Adam's two moments, in float32; the rest as metadata.
 * @throws InputError `cannot-write`
 */
export async function writeTrainingState(
  file: string,
  weights: readonly StoredWeight[],
  {state, best}: KeptState,
): Promise<void> {
  const {adam, values, update, skipped, skippedInARow} = state;
  const arrays = {weight: values, first: adam.first, second: adam.second};
  const parts = PARTS.flatMap((part) => weights.map(({name, shape}, i) => ({part, name, shape, i})));
  const tensors = parts.map(({part, name, shape}): TensorPlan => ({name: `${part}.${name}`, dtype: 'F32', shape}));
  const bytes = new Map(parts.map(({part, name, i}) => [`${part}.${name}`, bytesOf(arrays[part][i]!)]));
  const progress = {update, skipped, skippedInARow, adamUpdates: adam.updates, best: best ?? null};
  const pieces: Uint8Array[] = [];
  await writeSafetensors(
    tensors,
    {format: 'mue-training-state', version: '1', progress: JSON.stringify(progress)},
    ({name}) => Promise.resolve(bytes.get(name)!),
    (piece) => {
      pieces.push(piece);
      return Promise.resolve();
    },
  );
  writeAtomic(file, pieces);
}

/**
 * Reads it back.
 * @returns undefined if there is none yet
 * @throws InputError `state-corrupt`, WeightsError `damaged-safetensors`
 */
export async function readTrainingState(
  file: string,
  weights: readonly StoredWeight[],
): Promise<KeptState | undefined> {
  if (!fs.existsSync(file)) return undefined;
  const corrupt = (why: string): InputError =>
    new InputError('state-corrupt', `${file}: ${why}`, {hint: 'Delete it, and the training begins again.'});
  using access = FileAccess.open(file);
  const checkpoint = await SafetensorsFile.open(access);
  const progress = progressSchema.safeParse(
    parsed((checkpoint.metadata as {progress?: unknown} | undefined)?.progress),
  );
  if (!progress.success) throw corrupt('this is no state of a training');
  const read = async (part: (typeof PARTS)[number]): Promise<Float32Array[]> => {
    const arrays: Float32Array[] = [];
    for (const {name, shape} of weights) {
      const full = `${part}.${name}`;
      if (!checkpoint.has(full) || checkpoint.entry(full).shape.join() !== shape.join())
        throw corrupt(`there is no '${full}' of shape [${shape}]`);
      arrays.push(toFloat32(await checkpoint.read(full)));
    }
    return arrays;
  };
  const {adamUpdates, best, ...counts} = progress.data;
  const [values, first, second] = [await read('weight'), await read('first'), await read('second')];
  return {state: {...counts, values, adam: {first, second, updates: adamUpdates}}, best: best ?? undefined};
}

function parsed(text: unknown): unknown {
  try {
    return typeof text === 'string' ? parseJson(text) : undefined;
  } catch {
    return undefined;
  }
}
