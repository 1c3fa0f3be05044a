import {UsageError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline, Embedder} from '../../tasks/pipeline.js';
import type {Output} from '../core/output.js';
import {loadFrom, type ModelFlags} from '../options/model.js';

/** Loads a model that embeds pictures and texts. The caller disposes it. @throws UsageError `task-unsupported` for another one */
export async function loadEmbedder(flags: ModelFlags, out: Output): Promise<VisionLanguagePipeline & Embedder> {
  const {mue} = await loadFrom(flags, out);
  if (isEmbedder(mue)) return mue;
  mue[Symbol.dispose]();
  throw new UsageError('task-unsupported', 'this model does not put pictures and texts in one space', {
    hint: 'Name a contrastive captioner (CoCa) with --model.',
  });
}

function isEmbedder(assistant: VisionLanguagePipeline): assistant is VisionLanguagePipeline & Embedder {
  return 'embedPicture' in assistant;
}
