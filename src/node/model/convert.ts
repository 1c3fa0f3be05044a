import fs from 'node:fs';
import path from 'node:path';
import type {Checkpoint, PlainValue} from '../../checkpoint/checkpoint.js';
import {toFloat32} from '../../checkpoint/dtype.js';
import {fitsFloat16} from '../../checkpoint/float16.js';
import {bytesOf, type TensorPlan, writeSafetensors} from '../../checkpoint/safetensors.js';
import {planShards, shardIndex, shardName} from '../../checkpoint/shards.js';
import {FAMILIES, familyOfCheckpoint} from '../../models/families.js';
import type {ModelConfig, ModelFamily} from '../../models/family.js';
import {type ImportedWeight, type ModelImport, parameterCount, readImported, toStored} from '../../models/weights.js';
import {throwIfAborted, UsageError, WeightsError} from '../../runtime/errors.js';
import type {ConvertReport} from './convert-report.js';
import {checkTarget, type FileRecord, type FolderWriter, hashFile, writeFolder} from './model-folder.js';
import {schemaName} from '../../runtime/schema-name.js';
import {vocabularyFor} from './vocabulary.js';
import {openCheckpoint} from './open-checkpoint.js';

/** Progress of a conversion, with the names of transformers.js's progress events. */
export interface ConvertProgress {
  readonly status: 'initiate' | 'progress' | 'done';
  /** The file that is being written. */
  readonly file: string;
  /** The number of tensors written so far, over all files. */
  readonly loaded: number;
  /** The number of tensors in all. */
  readonly total: number;
}

export interface ConvertOptions {
  /** A .pt, .bin or .safetensors file, or a folder laid out as Hugging Face's are. */
  readonly input: string;
  /** The model folder to write. */
  readonly output: string;
  /** The architecture of weights that come without a configuration. */
  readonly architecture?: string;
  /**
   * A folder or file of the vocabulary; default: the one that the settings name, the one beside the file, or the
   * built-in one.
   */
  readonly vocab?: string;
  /** 'auto' (default) is float16 where every weight is exactly a half, else float32. */
  readonly dtype?: 'auto' | 'float16' | 'float32';
  /** Take the moving average of the weights. */
  readonly ema?: boolean;
  /** The most bytes of one file of weights; default 2 GB. */
  readonly maxShardBytes?: number;
  /** Replace a model that is in the folder already. */
  readonly force?: boolean;
  readonly onProgress?: (event: ConvertProgress) => void;
  readonly signal?: AbortSignal;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/**
 * Converts a checkpoint to a model folder: config.json, model*.safetensors, the vocabulary and a manifest. One tensor
 * is in memory at a time (the tied embedding twice, where the checkpoint stores copies of it). Equal input gives equal
 * files. On an error nothing is written.
 * @throws WeightsError for a checkpoint that cannot be used
 * @throws UsageError for an output folder that is in use
 * @throws AbortError
 */
export async function convertCheckpoint(options: ConvertOptions): Promise<ConvertReport> {
  const {input, output, signal, maxShardBytes = 2e9} = options;
  if (!(maxShardBytes > 0))
    throw new UsageError('bad-option', `The size of a shard must be a positive number of bytes, not ${maxShardBytes}.`);
  throwIfAborted(signal);
  checkTarget(path.resolve(output), options.force ?? false);
  const which = options.ema ? 'ema' : 'model';
  using source = await openCheckpoint(input, which);
  const {checkpoint, cfg, folder} = source;
  if (fs.existsSync(path.join(folder, 'manifest.json')) && isConverted(cfg))
    throw new WeightsError('already-converted', `${input}: a converted model already; there is nothing to convert.`);
  const family = chooseFamily(checkpoint, options.architecture);
  const plan = family.plan(checkpoint, cfg, options.architecture);
  const {files: vocabulary, ...words} = vocabularyFor(
    family.vocabulary(plan.config),
    options.vocab,
    folder,
    plan.vocabularyFolder,
  );
  const dtype = await chooseDtype(checkpoint, plan, options.dtype ?? 'auto', signal);
  const records: FileRecord[] = [];
  for (const file of source.files) records.push(await hashFile(file, signal));
  const parameters = parameterCount(plan.weights);
  const files = await writeFolder(output, {force: options.force, keep: ['exit.json']}, async (writer) => {
    writer.add('config.json', json({$schema: schemaName('config'), ...plan.config}));
    await writeWeights(writer, checkpoint, family, plan.weights, dtype, {...options, maxShardBytes});
    for (const [name, bytes] of vocabulary) writer.add(name, bytes);
    const manifest = {
      format: 'mue-tfjs',
      version: 1,
      family: family.name,
      source: {name: path.basename(path.resolve(input)), weights: which, files: records},
      dtype,
      parameters,
      files: [...writer.files],
    };
    writer.add('manifest.json', json(manifest));
    return writer.files;
  });
  return {
    input,
    output,
    format: checkpoint.format,
    weights: which,
    source: records,
    model: family.describe(plan.config),
    config: plan.config,
    dtype,
    parameters,
    used: plan.weights.flatMap(({name, source, dtype, shape}) =>
      source === null ? [] : [{name, source, dtype, shape}],
    ),
    ignored: plan.ignored,
    filled: plan.weights.flatMap(({name, source, neutral}) => (source === null ? [{name, value: neutral ?? 0}] : [])),
    notes: plan.notes,
    vocabulary: words,
    files,
  };
}

/** @throws UsageError for an architecture that no family has */
function chooseFamily(checkpoint: Checkpoint, architecture: string | undefined): ModelFamily {
  const family = familyOfCheckpoint(checkpoint.names(), architecture);
  if (architecture === undefined || family.architectures.includes(architecture)) return family;
  const known = FAMILIES.flatMap(({architectures}) => architectures);
  throw new UsageError(
    'unknown-architecture',
    `'${architecture}' is no known architecture; known are ${known.join(', ')}.`,
  );
}

function isConverted(cfg: PlainValue): boolean {
  return typeof cfg === 'object' && cfg !== null && 'format' in cfg && cfg.format === 'mue-tfjs';
}

/**
 * Decides on float16 where it loses nothing: known from the types, else by reading until the first value that does not
 * fit.
 */
async function chooseDtype(
  checkpoint: Checkpoint,
  plan: ModelImport<ModelConfig>,
  wanted: 'auto' | 'float16' | 'float32',
  signal: AbortSignal | undefined,
): Promise<'float16' | 'float32'> {
  if (wanted !== 'auto') return wanted;
  for (const {source, dtype} of plan.weights) {
    if (source === null || dtype === 'F16') continue;
    throwIfAborted(signal);
    if (!fitsFloat16(toFloat32(await checkpoint.read(source)))) return 'float32';
  }
  return 'float16';
}

async function writeWeights(
  writer: FolderWriter,
  checkpoint: Checkpoint,
  family: ModelFamily,
  weights: readonly ImportedWeight[],
  dtype: 'float16' | 'float32',
  options: ConvertOptions & {readonly maxShardBytes: number},
): Promise<void> {
  const type = dtype === 'float16' ? 'F16' : 'F32';
  const byName = new Map(weights.map((weight) => [weight.name, weight]));
  const tensors = weights.map(({name, shape}): TensorPlan => ({name, shape, dtype: type}));
  const shards = planShards(tensors, options.maxShardBytes);
  let loaded = 0;
  for (const [i, shard] of shards.entries()) {
    const file = shardName(i, shards.length);
    const tell = (status: ConvertProgress['status']): void =>
      options.onProgress?.({status, file, loaded, total: weights.length});
    tell('initiate');
    const produce = async ({name}: TensorPlan): Promise<Uint8Array> => {
      throwIfAborted(options.signal);
      const bytes = await storedBytes(checkpoint, family, byName.get(name)!, type);
      loaded++;
      tell('progress');
      return bytes;
    };
    await writer.stream(file, (sink) => writeSafetensors(shard, {format: 'mue-tfjs'}, produce, sink));
    tell('done');
  }
  throwIfAborted(options.signal);
  if (shards.length > 1) writer.add('model.safetensors.index.json', json(shardIndex(shards)));
}

async function storedBytes(
  checkpoint: Checkpoint,
  family: ModelFamily,
  weight: ImportedWeight,
  type: 'F16' | 'F32',
): Promise<Uint8Array> {
  const values = await readImported(checkpoint, weight);
  await family.check?.(checkpoint, weight, values);
  const stored = toStored(values, weight, type);
  if (stored instanceof Uint16Array && overflowed(stored))
    throw new WeightsError(
      'float16-overflow',
      `${checkpoint.source}: '${weight.source}' has values beyond 65,504, which float16 cannot hold.`,
      {
        hint: 'Convert with --dtype float32.',
      },
    );
  return bytesOf(stored);
}

/** Whether a half is infinite or NaN, as finite float32 values become where they are too large. */
function overflowed(halves: Uint16Array): boolean {
  for (let i = 0; i < halves.length; i++) if ((halves[i]! & 0x7c00) === 0x7c00) return true;
  return false;
}
