import {Option} from '@commander-js/extra-typings';
import type {LoadOptions} from '../../node/model/load-model.js';
import {type Device, deviceNamed} from '../../runtime/devices.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import {type OptionsOf, optionGroup} from '../core/define-command.js';
import type {Output} from '../core/output.js';
import {threadCount, wholeNumber} from './values.js';

/** Where a model runs, how images are read. */
export const withDevice = optionGroup((command) =>
  command
    .option('--device <name>', 'auto, native, cuda, webgpu, wasm or cpu', deviceNamed, 'auto' as Device)
    .option(
      '--threads <n>',
      'threads of native and wasm, or auto: all cores, on wasm at most 8 (default: auto)',
      threadCount,
    )
    .option('--tf32', 'cuda: round factors to TF32; faster, less exact')
    .option('--no-relaxed', 'wasm: round every product and sum; slower, the same on every processor')
    .option('--no-functions', 'native and cuda: call TensorFlow operation by operation, not layer by layer; slower')
    .addOption(
      new Option('--exif <what>', 'the EXIF orientation of pictures; the authors ignore it')
        .choices(['ignore', 'apply'])
        .default('ignore'),
    )
    .option('--max-pixels <n>', 'refuse larger pictures (default: 100000000)', wholeNumber(1)),
);

/** Where a model runs and how images are read, of all options of a command. */
export function deviceChoice(options: OptionsOf<typeof withDevice>): LoadOptions & {readonly device: Device} {
  const {device, threads, tf32, relaxed, functions, exif, maxPixels} = options;
  return {device, threads, tf32, relaxed, functions, exif, maxPixels};
}

/** Which model, with or without exit adapters, and what `withDevice` has. */
export const withModel = optionGroup((command) =>
  withDevice(
    command.option(
      '--model <folder>',
      'a folder that `mue convert` wrote, or a shipped model: scenes-mue, scenes-coca (default: the one for the task)',
    ),
  )
    .option('--adapters <file>', "exit adapters of another file or folder (default: the model folder's own, if any)")
    .option('--no-adapters', 'leave exit adapters out')
    .option('--no-verify', "load without comparing the model's files with the SHA-256 in its manifest"),
);
export type ModelOptions = OptionsOf<typeof withModel>;

/** A model folder and how it is loaded, as plain data. */
export interface ModelChoice {
  /** A folder, or the name of a shipped model. Default: scenes-mue. */
  readonly folder?: string;
  readonly load: LoadOptions & {readonly device: Device};
}

export function modelChoice(options: ModelOptions): ModelChoice {
  const {model, adapters, verify} = options;
  return {folder: model, load: {...deviceChoice(options), adapters, verify}};
}

/** A model that is ready. */
export interface OpenModel {
  /** The caller disposes it. */
  readonly model: VisionLanguagePipeline;
  /** Milliseconds of loading. */
  readonly ms: number;
  /** Where it runs: what --device calls it. */
  readonly device: Device;
}

/** Loads a model, and says where it runs. @throws WeightsError, BackendError, AbortError (see `loadModel`) */
export async function openModel({folder, load}: ModelChoice, out: Output, signal?: AbortSignal): Promise<OpenModel> {
  const {loadModel} = await import('../../node/model/load-model.js');
  const start = performance.now();
  const model = await loadModel(folder, {...load, signal});
  out.say(`running on ${model.runsOn?.note ?? load.device}`);
  return {model, ms: performance.now() - start, device: model.runsOn?.device ?? load.device};
}
