import fs from 'node:fs';
import {writingStack} from '../../exit/stacks.js';
import {type LoadedAdapters, readExitAdapters, writeExitAdapters} from '../../node/model/exit-adapters.js';
import {weightsHash} from '../../node/model/manifest.js';
import type {ExitAdapters} from '../../nn/exit-adapters.js';
import {WeightsError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {AdapterTask} from '../../training/rows.js';

/**
 * Writes the adapters of one task. The file keeps those of other tasks, if they are of the same weights.
 * @param adapters   borrowed
 * @param data       SHA-256 of the data set that they learnt from
 * @param folder     of the model
 * @param pipeline   borrowed
 * @throws           WeightsError `adapters-unbound` for a model without manifest; InputError `cannot-write`
 */
export async function updateExitAdapters(
  file: string,
  task: AdapterTask,
  {adapters, data}: {readonly adapters: ExitAdapters; readonly data: string},
  folder: string,
  {model}: Pick<VisionLanguagePipeline, 'model'>,
): Promise<void> {
  using scope = new TensorScope();
  const weights = weightsHash(folder);
  if (weights === undefined)
    throw new WeightsError(
      'adapters-unbound',
      `${folder}: adapters belong to weights, but this folder has no manifest`,
      {
        hint: 'Convert the checkpoint again with `mue convert`.',
      },
    );
  const old = fs.existsSync(file) ? await othersOf(file, model, weights) : undefined;
  for (const set of Object.values(old?.adapters ?? {})) scope.hold(set);
  await writeExitAdapters(file, {
    adapters: {...old?.adapters, [task]: adapters},
    weights,
    stack: writingStack(model.stacks),
    learntFrom: {...old?.learntFrom, [task]: data},
  });
}

/** Adapters of a file; none where it is of other weights: the new ones take its place. */
async function othersOf(
  file: string,
  model: VisionLanguagePipeline['model'],
  weights: string,
): Promise<LoadedAdapters | undefined> {
  try {
    return await readExitAdapters(file, {model, weights});
  } catch (error) {
    if (error instanceof WeightsError && error.code === 'adapters-other-weights') return undefined;
    throw error;
  }
}
