import fs from 'node:fs';
import path from 'node:path';
import {openModelWeights} from '../../checkpoint/model-weights.js';
import {ClipTokenizer} from '../../data/clip-tokenizer.js';
import type {Tokenizer} from '../../data/tokenizer.js';
import {type ExitPlans, exitPlansSchema} from '../../exit/plan/schema.js';
import type {CocaConfig} from '../../models/coca/config.js';
import {CocaModel} from '../../models/coca/model.js';
import {parseConfig} from '../../models/families.js';
import type {ModelConfig} from '../../models/family.js';
import type {VisionLanguageModel} from '../../models/model.js';
import type {OfaConfig} from '../../models/ofa/config.js';
import {OfaModel} from '../../models/ofa/model.js';
import type {WeightSource} from '../../nn/block.js';
import {checkArguments, FUNCTION, instanceOf, optional, PATH} from '../../runtime/check-arguments.js';
import {checkOptions} from '../../runtime/check-options.js';
import type {Device} from '../../runtime/devices.js';
import {UsageError, WeightsError} from '../../runtime/errors.js';
import {withoutSchemaName} from '../../runtime/schema-name.js';
import type {PipelineParts, RunsOn, VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {ImageDecoder} from '../../tasks/pictures.js';
import {CocaPipeline} from '../../tasks/coca-processor.js';
import {OfaPipeline} from '../../tasks/ofa-processor.js';
import {selectBackend} from '../backends/select.js';
import {adaptedHash, ADAPTERS_FILE, adaptersFile, readExitAdapters} from './exit-adapters.js';
import {decodeImage} from '../picture/decode.js';
import {FileAccess} from './file-access.js';
import {type LoadProgress, LoadReporter} from './load-progress.js';
import {namesIn} from './open-checkpoint.js';
import {modelFolder, shippedFolder} from './shipped-models.js';
import {findClipMerges, findVocabulary, vocabularyText, vocabularyTokenizer} from './vocabulary.js';
import {readFolderJson, verifyFolder, weightsHash} from './manifest.js';

/** The folder of the default model. */
export const SHIPPED_MODEL: string = shippedFolder('scenes-mue');

export interface LoadOptions {
  /** `auto`, the default, takes the first of `cuda`, `native`, `wasm` and `cpu` that works here. */
  readonly device?: Device;
  /** 'apply' turns pictures upright by their EXIF data; the authors ignore it, and so does the default. */
  readonly exif?: 'ignore' | 'apply';
  /** The moment at which pictures with a palette or transparency become RGB (see `DecodeOptions`). */
  readonly rgb?: 'first' | 'last';
  /** The number of pixels of the largest picture that is read. */
  readonly maxPixels?: number;
  /** Threads of the devices native and wasm; default, 'auto' or 0: all cores, on wasm at most eight. */
  readonly threads?: number | 'auto';
  /** Lets CUDA round factors to TF32; default: exact fp32. */
  readonly tf32?: boolean;
  /**
   * Exit adapters: true (default) takes those of the model's folder where there are some, false none, a name those of
   * that file or folder.
   */
  readonly adapters?: boolean | string;
  /** Compares the folder's files with the SHA-256 in its manifest (default). */
  readonly verify?: boolean;
  /** Lets wasm round a product and its sum once where the engine can (default). */
  readonly relaxed?: boolean;
  /** Joins the operations of a layer to one call on native and cuda (default). */
  readonly functions?: boolean;
  /** Called while files are read. An error that it throws ends the loading. */
  readonly onProgress?: (event: LoadProgress) => void;
  /** Ends the loading: nothing is kept, and `loadModel` throws AbortError. */
  readonly signal?: AbortSignal;
}

/** Names of the options, for those who are not told by TypeScript. */
const LOAD_OPTIONS = Object.keys({
  device: true,
  exif: true,
  rgb: true,
  maxPixels: true,
  threads: true,
  tf32: true,
  adapters: true,
  verify: true,
  relaxed: true,
  functions: true,
  onProgress: true,
  signal: true,
} satisfies Record<keyof LoadOptions, true>);

/** The context of a loaded model, alike for every family. */
interface LoadContext {
  /** The folder's own exit plans. */
  readonly plans: ExitPlans | undefined;
  /** The hash of the weights, which plans of this model name. */
  readonly sha256: string | undefined;
  readonly runsOn: RunsOn;
  readonly pictures: ImageDecoder;
  /** The file of exit adapters, if there are some. */
  readonly file: string | undefined;
  /** Whether that file is compared with the SHA-256 in it. */
  readonly verify: boolean;
}

/** Makes a model of its weights, after its configuration and vocabulary were read. */
type Loader = (weights: WeightSource, context: LoadContext) => Promise<VisionLanguagePipeline>;

/** Reads the folder of a model, by its family. A new family is one line here. */
const LOADERS: Readonly<Record<string, (folder: string, config: ModelConfig) => Loader>> = {
  ofa: openOfa,
  coca: openCoca,
};

/**
 * Loads a converted model folder of any family.
 * @param model   a folder, or the name of a shipped model: `scenes-mue` (default), `scenes-coca`
 * @returns the model, the caller's to dispose
 * @throws WeightsError if the folder is no model or damaged, BackendError if the device cannot run, AbortError if
 *   `signal` fires
 */
export async function loadModel(
  model: string = SHIPPED_MODEL,
  options: LoadOptions = {},
): Promise<VisionLanguagePipeline> {
  checkArguments('loadModel', {model: [model, PATH]});
  checkOptions(options, LOAD_OPTIONS, 'loadModel');
  checkArguments('loadModel', {
    'options.onProgress': [options.onProgress, optional(FUNCTION)],
    'options.signal': [options.signal, optional(instanceOf('an AbortSignal', AbortSignal))],
  });
  const folder = modelFolder(model);
  const {device = 'auto', exif, rgb, maxPixels, adapters = true, verify = true} = options;
  const reporter = new LoadReporter(model, options.onProgress, options.signal);
  reporter.check();
  const json = readFolderJson(folder, 'config.json');
  if (json === undefined)
    throw new WeightsError('not-a-model', `${folder} is no model folder: it has no config.json`, {
      hint: 'A model folder is what `mue convert` writes.',
    });
  const {family, config} = parseConfig(json, path.join(folder, 'config.json'));
  const load = LOADERS[family.name]!(folder, config);
  if (verify) await verifyFolder(folder, options.signal);
  const plans = readPlans(folder);
  // 0 threads and 0 pixels mean the default.
  const {tf32, relaxed, functions} = options;
  const runsOn = await selectBackend(device, {threads: options.threads || undefined, tf32, relaxed, functions});
  using weights = await openModelWeights(
    (file) => Promise.resolve(reporter.watch(FileAccess.open(path.join(folder, file)))),
    namesIn(folder),
  );
  const names = new Set(weights.names());
  const source: WeightSource = {
    names: () => [...names],
    shape: (name) => (names.has(name) ? weights.shape(name) : undefined),
    read: (name) => weights.read(name),
  };
  const decoding = {exif, rgb, maxPixels: maxPixels || undefined};
  const pictures: ImageDecoder = {decode: (bytes, signal) => decodeImage(bytes, {...decoding, signal})};
  const own = path.join(folder, ADAPTERS_FILE);
  const file = typeof adapters === 'string' ? adaptersFile(adapters) : adapters && fs.existsSync(own) ? own : undefined;
  const loaded = await load(source, {plans, sha256: weightsHash(folder), runsOn, pictures, file, verify});
  try {
    reporter.ready();
    return loaded;
  } catch (error) {
    loaded.dispose();
    throw error;
  }
}

function openOfa(folder: string, config: ModelConfig): Loader {
  const tokenizer = readTokenizer(folder, config as OfaConfig);
  return async (weights, context) => {
    const model = await OfaModel.load(config as OfaConfig, weights);
    return new OfaPipeline({model, tokenizer, ...(await withAdapters(model, context))});
  };
}

function openCoca(folder: string, parsed: ModelConfig): Loader {
  const config = parsed as CocaConfig;
  // A larger vocabulary than CLIP's has ids that no text makes.
  const tokenizer = new ClipTokenizer({
    merges: vocabularyText(findClipMerges(folder), 'list of merges'),
    size: config.end_id + 1,
  });
  return async (weights, context) => {
    const model = await CocaModel.load(config, weights);
    return new CocaPipeline({model, tokenizer, ...(await withAdapters(model, context))});
  };
}

/**
 * Adds the exit adapters to what a pipeline is made of.
 * @param model disposed on an error
 */
async function withAdapters(
  model: VisionLanguageModel,
  {file, sha256, verify, ...context}: LoadContext,
): Promise<
  Omit<LoadContext, 'file' | 'verify'> & Pick<PipelineParts<VisionLanguageModel>, 'exitAdapters' | 'learntFrom'>
> {
  if (file === undefined) return {...context, sha256};
  try {
    const {adapters, learntFrom, ...read} = await readExitAdapters(file, {model, weights: sha256}, verify);
    return {...context, sha256: adaptedHash(sha256, read.sha256), exitAdapters: adapters, learntFrom};
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
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

/**
 * The folder's own plans, if it has some.
 * @throws UsageError if exit.json is no set of plans
 */
function readPlans(folder: string): ExitPlans | undefined {
  const json = readFolderJson(folder, 'exit.json');
  if (json === undefined) return undefined;
  const parsed = exitPlansSchema.safeParse(withoutSchemaName(json));
  if (parsed.success) return parsed.data;
  throw new UsageError(
    'plan-invalid',
    `${path.join(folder, 'exit.json')} is no set of exit plans: ${parsed.error.issues[0]?.message ?? ''}`,
  );
}
