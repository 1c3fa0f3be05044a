import {type LoadOptions, loadModel} from '../node/load-model.js';
import type {Assistant} from '../tasks/assistant.js';
import type {ModelFlags} from './model-options.js';
import type {Output} from './core/output.js';

/** Loads the model that the options name, and says where it runs. The caller disposes it. */
export async function loadFrom(flags: ModelFlags, out: Output): Promise<{mue: Assistant; ms: number}> {
  const start = performance.now();
  const mue = await loadModel(flags.model, loadOptions(flags));
  out.say(`running on ${mue.runsOn?.note ?? flags.device}`);
  return {mue, ms: performance.now() - start};
}

export function loadOptions({device, exif, maxPixels, threads, tf32}: ModelFlags): LoadOptions {
  return {device, exif, maxPixels, threads, tf32};
}
