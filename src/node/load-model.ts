import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {openModelWeights} from '../checkpoint/model-weights.js';
import {Tokenizer} from '../data/tokenizer.js';
import {type ExitPlans, exitPlansSchema} from '../exit/plan.js';
import {type OfaConfig, ofaConfigSchema} from '../models/ofa/config.js';
import {OfaModel} from '../models/ofa/model.js';
import {UsageError, WeightsError} from '../runtime/errors.js';
import {Mue} from '../tasks/mue.js';
import {selectBackend} from './backends.js';
import {FileAccess} from './file-access.js';
import {decodeImage} from './image-decoder.js';
import {findVocabulary} from './vocabulary-files.js';

/** The model that ships with the package. */
export const SHIPPED_MODEL: string = fileURLToPath(new URL('../../weights/scenes-mue', import.meta.url));

export interface LoadOptions {
  /** `auto` (default), `native`, `cuda`, `webgpu`, `onnx`, `wasm` or `cpu`. */
  readonly device?: string | undefined;
  /** Whether pictures are turned as their EXIF data says; the authors ignore it, and so is the default. */
  readonly exif?: 'ignore' | 'apply' | undefined;
  /** Largest picture, in pixels. */
  readonly maxPixels?: number | undefined;
  /** Threads of the native device; default: all cores. */
  readonly threads?: number | undefined;
  /** Lets CUDA round factors to TF32; default: exact fp32. */
  readonly tf32?: boolean | undefined;
}

/**
 * Loads a converted model folder, by default the shipped one.
 * @returns the model, the caller's to dispose
 * @throws WeightsError if the folder is no model or damaged, BackendError if the device cannot run
 */
export async function loadModel(folder: string = SHIPPED_MODEL, options: LoadOptions = {}): Promise<Mue> {
  const {device = 'auto', exif, maxPixels, threads, tf32} = options;
  const config = readConfig(folder);
  const tokenizer = readTokenizer(folder, config);
  const plans = readPlans(folder);
  const runsOn = await selectBackend(device, {...(threads ? {threads} : {}), ...(tf32 ? {tf32} : {})});
  using weights = await openModelWeights((file) => Promise.resolve(FileAccess.open(path.join(folder, file))), fs.readdirSync(folder));
  const names = new Set(weights.names());
  const model = await OfaModel.load(config, {
    names: () => [...names],
    shape: (name) => (names.has(name) ? weights.shape(name) : undefined),
    read: (name) => weights.read(name),
  });
  const decoding = {...(exif ? {exif} : {}), ...(maxPixels ? {maxPixels} : {})};
  const pictures = {decode: (bytes: Uint8Array) => decodeImage(bytes, decoding)};
  return new Mue({model, tokenizer, plans, sha256: weightsHash(folder), runsOn, pictures});
}

/** @throws WeightsError if the folder has no valid config.json */
export function readConfig(folder: string): OfaConfig {
  const json = readJson(folder, 'config.json');
  if (json === undefined)
    throw new WeightsError('not-a-model', `${folder} is no model folder: it has no config.json`, {
      hint: 'A model folder is what `mue convert` writes.',
    });
  const parsed = ofaConfigSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const why = parsed.error.issues.map(({path: at, message}) => `${at.join('.') || 'top level'}: ${message}`).join('; ');
  throw new WeightsError('config-invalid', `${path.join(folder, 'config.json')} does not describe an OFA model: ${why}`, {
    hint: 'A model folder is what `mue convert` writes.',
  });
}

function readTokenizer(folder: string, config: OfaConfig): Tokenizer {
  const files = findVocabulary(folder, folder, undefined);
  const tokenizer = new Tokenizer({
    dict: files.dict.toString('utf8'),
    encoder: files.encoder.toString('utf8'),
    merges: files.merges.toString('utf8'),
    codeDictSize: config.code_dict_size,
    numBins: config.num_bins,
  });
  if (tokenizer.size !== config.vocab_size) {
    throw new WeightsError(
      'vocabulary-size',
      `${folder}: the vocabulary has ${tokenizer.size} entries, but the model's embedding ${config.vocab_size} rows`,
    );
  }
  return tokenizer;
}

/** The folder's own plans, if it has some. @throws UsageError if exit.json is no set of plans */
function readPlans(folder: string): ExitPlans | undefined {
  const json = readJson(folder, 'exit.json');
  if (json === undefined) return undefined;
  const parsed = exitPlansSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new UsageError(
    'plan-invalid',
    `${path.join(folder, 'exit.json')} is no set of exit plans: ${parsed.error.issues[0]?.message ?? ''}`,
  );
}

function readJson(folder: string, name: string): unknown {
  const file = path.join(folder, name);
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WeightsError('config-invalid', `${file} is no JSON: ${(cause as Error).message}`, {cause});
  }
}

/** One hash for all files of weights: that of the only one, or of the list of them. */
function weightsHash(folder: string): string | undefined {
  const manifest = readJson(folder, 'manifest.json') as {files?: readonly {name?: string; sha256?: string}[]} | undefined;
  const hashes = manifest?.files?.filter(({name}) => name?.endsWith('.safetensors')).map(({sha256}) => sha256 ?? '');
  return hashes?.length ? hashes.join('+') : undefined;
}
