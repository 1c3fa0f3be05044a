import {type Command, Option} from 'commander';
import {SCHEDULE_NAMES, type ScheduleName} from '../../exit/policies/threshold.js';
import {SKIPPED_KV, type SkippedKv} from '../../exit/skipped-kv-cache.js';
import {loadModel, type LoadOptions} from '../../node/model/load-model.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {Output} from '../core/output.js';
import {type StackThresholds, stackThresholds, threshold, wholeNumber} from './values.js';

/** Loads the model that the options name, and says where it runs. The caller disposes it. */
export async function loadFrom(flags: ModelFlags, out: Output): Promise<{mue: VisionLanguagePipeline; ms: number}> {
  const start = performance.now();
  const mue = await loadModel(flags.model, loadOptions(flags));
  out.say(`running on ${mue.runsOn?.note ?? flags.device}`);
  return {mue, ms: performance.now() - start};
}

export function loadOptions({device, exif, maxPixels, threads, tf32}: ModelFlags): LoadOptions {
  return {device, exif, maxPixels, threads, tf32};
}

/** Which model, where it runs, how pictures are read. */
export interface ModelFlags {
  readonly model?: string;
  readonly device: string;
  readonly threads?: number;
  readonly tf32?: boolean;
  readonly exif: 'ignore' | 'apply';
  readonly maxPixels?: number;
}

/** --model and what loading it needs. */
export function addModelOptions(command: Command): Command {
  return command
    .option('--model <folder>', 'a model folder, as `mue convert` writes it (default: the shipped scenes-mue)')
    .option('--device <name>', 'auto, native, cuda, webgpu, onnx, wasm or cpu', 'auto')
    .option('--threads <n>', 'threads of the native device (default: all cores)', wholeNumber(1))
    .option('--tf32', 'cuda: round factors to TF32; faster, less exact')
    .addOption(
      new Option('--exif <what>', 'the EXIF orientation of pictures; the authors ignore it')
        .choices(['ignore', 'apply'])
        .default('ignore'),
    )
    .option('--max-pixels <n>', 'refuse larger pictures (default: 100000000)', wholeNumber(1));
}

/** When to stop; `exitChoice` makes an ExitChoice of it. */
export interface ExitFlags {
  readonly exit?: string;
  readonly img_thres?: number;
  readonly txt_thres?: number;
  readonly decoder_thres?: number;
  readonly thres?: StackThresholds;
  readonly schedule?: ScheduleName;
  readonly mode?: 'corrected' | 'reference';
  readonly skippedKv?: SkippedKv;
}

/** --exit, thresholds and what surrounds them. */
export function addExitOptions(command: Command): Command {
  return command
    .option(
      '--exit <plan>',
      "model (its own plan), never, release (the authors' scripts) or a plan.json (default: model)",
    )
    .option(
      '--img_thres <x>',
      'exit the image stream above this similarity; any threshold replaces the plan',
      threshold('--img_thres'),
    )
    .option('--txt_thres <x>', 'the same of the text stream; a threshold not given is never', threshold('--txt_thres'))
    .option('--decoder_thres <x>', 'the same of the decoder', threshold('--decoder_thres'))
    .option(
      '--thres <stack=x,…>',
      'the same by the names of the stacks, of any model: vision=0.97,multimodal=0.8',
      stackThresholds('--thres'),
    )
    .addOption(
      new Option(
        '--schedule <name>',
        'how the threshold of the stack that writes moves with the step (default: constant)',
      ).choices(SCHEDULE_NAMES),
    )
    .addOption(
      new Option('--mode <name>', "reference is the authors' release, quirks and all (default: corrected)").choices([
        'corrected',
        'reference',
      ]),
    )
    .addOption(
      new Option('--skipped-kv <name>', 'keys and values of skipped decoder layers (default: project)').choices(
        SKIPPED_KV,
      ),
    );
}
