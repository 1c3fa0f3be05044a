import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {openModelWeights} from '../../checkpoint/model-weights.js';
import {ClipTokenizer} from '../../data/clip-tokenizer.js';
import type {Tokenizer} from '../../data/tokenizer.js';
import {type ExitPlans, exitPlansSchema} from '../../exit/plan/schema.js';
import type {CocaConfig} from '../../models/coca/config.js';
import {CocaModel} from '../../models/coca/model.js';
import {parseConfig} from '../../models/families.js';
import type {ModelConfig} from '../../models/family.js';
import type {OfaConfig} from '../../models/ofa/config.js';
import {OfaModel} from '../../models/ofa/model.js';
import type {WeightSource} from '../../nn/block.js';
import {UsageError, WeightsError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline, ImageDecoder, RunsOn} from '../../tasks/pipeline.js';
import {CocaPipeline} from '../../tasks/coca-processor.js';
import {OfaPipeline} from '../../tasks/ofa-processor.js';
import {selectBackend} from '../backends/select.js';
import {FileAccess} from './file-access.js';
import {decodeImage} from '../picture/decode.js';
import {findClipMerges, findVocabulary, vocabularyTokenizer} from './vocabulary-files.js';

/** The model that ships with the package. */
export const SHIPPED_MODEL: string = fileURLToPath(new URL('../../../weights/scenes-mue', import.meta.url));

export interface LoadOptions {
  /** `auto` (default), `native`, `cuda`, `webgpu`, `onnx`, `wasm` or `cpu`. */
  readonly device?: string | undefined;
  /** Whether pictures are turned as their EXIF data says; the authors ignore it, and so is the default. */
  readonly exif?: 'ignore' | 'apply' | undefined;
  /** When pictures with a palette or transparency become RGB (see `decodeImage`). */
  readonly rgb?: 'first' | 'last' | undefined;
  /** Largest picture, in pixels. */
  readonly maxPixels?: number | undefined;
  /** Threads of the native device; default: all cores. */
  readonly threads?: number | undefined;
  /** Lets CUDA round factors to TF32; default: exact fp32. */
  readonly tf32?: boolean | undefined;
}

/** What every family's model with its tasks is made with. */
interface Surroundings {
  readonly plans: ExitPlans | undefined;
  readonly sha256: string | undefined;
  readonly runsOn: RunsOn;
  readonly pictures: ImageDecoder;
}

/** A model whose configuration and vocabulary are read; what is left are its weights. */
type Loader = (weights: WeightSource, surroundings: Surroundings) => Promise<VisionLanguagePipeline>;

/** What answers with a model, by its family. A new one is one line here. */
const ASSISTANTS: Readonly<Record<string, (folder: string, config: ModelConfig) => Loader>> = {
  ofa: openOfa,
  coca: openCoca,
};

/**
 * Loads a converted model folder of any family, by default the shipped one.
 * @returns the model, the caller's to dispose
 * @throws WeightsError if the folder is no model or damaged, BackendError if the device cannot run
 */
export async function loadModel(
  folder: string = SHIPPED_MODEL,
  options: LoadOptions = {},
): Promise<VisionLanguagePipeline> {
  const {device = 'auto', exif, rgb, maxPixels, threads, tf32} = options;
  const json = readJson(folder, 'config.json');
  if (json === undefined)
    throw new WeightsError('not-a-model', `${folder} is no model folder: it has no config.json`, {
      hint: 'A model folder is what `mue convert` writes.',
    });
  const {family, config} = parseConfig(json, path.join(folder, 'config.json'));
  const load = ASSISTANTS[family.name]!(folder, config);
  const plans = readPlans(folder);
  const runsOn = await selectBackend(device, {...(threads ? {threads} : {}), ...(tf32 ? {tf32} : {})});
  using weights = await openModelWeights(
    (file) => Promise.resolve(FileAccess.open(path.join(folder, file))),
    fs.readdirSync(folder),
  );
  const names = new Set(weights.names());
  const source: WeightSource = {
    names: () => [...names],
    shape: (name) => (names.has(name) ? weights.shape(name) : undefined),
    read: (name) => weights.read(name),
  };
  const decoding = {...(exif ? {exif} : {}), ...(rgb ? {rgb} : {}), ...(maxPixels ? {maxPixels} : {})};
  const pictures = {decode: (bytes: Uint8Array) => decodeImage(bytes, decoding)};
  return await load(source, {plans, sha256: weightsHash(folder), runsOn, pictures});
}

function openOfa(folder: string, config: ModelConfig): Loader {
  const tokenizer = readTokenizer(folder, config as OfaConfig);
  return async (weights, surroundings) =>
    new OfaPipeline({model: await OfaModel.load(config as OfaConfig, weights), tokenizer, ...surroundings});
}

function openCoca(folder: string, parsed: ModelConfig): Loader {
  const config = parsed as CocaConfig;
  // A larger vocabulary than CLIP's has ids that no text makes.
  const tokenizer = new ClipTokenizer({merges: findClipMerges(folder).toString('utf8'), size: config.end_id + 1});
  return async (weights, surroundings) =>
    new CocaPipeline({
      model: await CocaModel.load(config, weights),
      tokenizer,
      ...surroundings,
    });
}

function readTokenizer(folder: string, config: OfaConfig): Tokenizer {
  const tokenizer = vocabularyTokenizer(findVocabulary(folder, folder, undefined), config);
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
  const manifest = readJson(folder, 'manifest.json') as
    | {files?: readonly {name?: string; sha256?: string}[]}
    | undefined;
  const hashes = manifest?.files?.filter(({name}) => name?.endsWith('.safetensors')).map(({sha256}) => sha256 ?? '');
  return hashes?.length ? hashes.join('+') : undefined;
}
