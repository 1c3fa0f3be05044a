import {shippedFolder} from '../../node/model/shipped-models.js';
import {UsageError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {Embedder} from '../../tasks/embedding-pipeline.js';
import type {Output} from '../core/output.js';
import {type ModelChoice, openModel} from '../options/model.js';

/**
 * Loads a model that embeds images and texts, by default the shipped one that does. The caller disposes it.
 * @throws UsageError `task-unsupported` for another one; the errors of `loadModel`
 */
export async function loadEmbedder(
  {folder = shippedFolder('scenes-coca'), load}: ModelChoice,
  out: Output,
  signal: AbortSignal,
): Promise<VisionLanguagePipeline & Embedder> {
  const {model} = await openModel({folder, load}, out, signal);
  if (isEmbedder(model)) return model;
  model[Symbol.dispose]();
  throw new UsageError('task-unsupported', 'this model does not put pictures and texts in one space', {
    hint: 'Name a contrastive captioner (CoCa) with --model: the shipped one is scenes-coca.',
  });
}

function isEmbedder(model: VisionLanguagePipeline): model is VisionLanguagePipeline & Embedder {
  return 'embedPicture' in model;
}
