import {float16ToFloat32, float32ToFloat16} from '../../checkpoint/float16.js';
import {bytesOf, type TensorPlan, writeSafetensors} from '../../checkpoint/safetensors.js';
import {planShards, shardIndex, shardName} from '../../checkpoint/shards.js';
import {parseConfig} from '../../models/families.js';
import type {ModelConfig} from '../../models/family.js';
import {checkpointShape, parameterCount} from '../../models/weights.js';
import type {StoredWeight, WeightSource} from '../../nn/block.js';
import {throwIfAborted} from '../../runtime/errors.js';
import {type FileRecord, writeFolder} from './model-folder.js';
import {schemaName} from '../../runtime/schema-name.js';
import {vocabularyFor} from './vocabulary.js';

const {imul} = Math;

export interface RandomModelOptions {
  readonly config: ModelConfig;
  readonly output: string;
  /**
   * 'model' (default): a folder as `mue convert` writes it. 'checkpoint': the authors' names and layouts, for `mue
   * convert` to read; only for families that fuse no weights.
   */
  readonly kind?: 'model' | 'checkpoint';
  readonly dtype?: 'float16' | 'float32';
  readonly seed?: number;
  readonly maxShardBytes?: number;
  readonly force?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Writes a model that has never been trained, to measure speed and memory: weights from N(0, 0.02²), norms neutral. One
 * tensor is in memory at a time; equal options give equal files.
 * @returns the files written
 */
export async function writeRandomModel(options: RandomModelOptions): Promise<readonly FileRecord[]> {
  const {config, kind = 'model', dtype = 'float16', seed = 1} = options;
  const {family} = parseConfig(config, 'the configuration');
  const weights = family.weights(config);
  const type = dtype === 'float16' ? 'F16' : 'F32';
  const shapeOf = kind === 'model' ? (weight: StoredWeight): readonly number[] => weight.shape : checkpointShape;
  const order = new Map(weights.map((weight, i) => [weight.name, {weight, i}]));
  const shards = planShards(
    weights.map((w): TensorPlan => ({name: w.name, dtype: type, shape: shapeOf(w)})),
    options.maxShardBytes ?? 2e9,
  );
  return writeFolder(options.output, {force: options.force}, async (writer) => {
    writer.add('config.json', `${JSON.stringify({$schema: schemaName('config'), ...config}, null, 2)}\n`);
    for (const [n, shard] of shards.entries()) {
      const produce = async ({name}: TensorPlan): Promise<Uint8Array> => {
        throwIfAborted(options.signal);
        const {weight, i} = order.get(name)!;
        const halves = randomWeight(weight, seed * 65537 + i);
        return bytesOf(type === 'F16' ? halves : float16ToFloat32(halves));
      };
      await writer.stream(shardName(n, shards.length), (sink) =>
        writeSafetensors(shard, {format: 'mue-tfjs'}, produce, sink),
      );
    }
    if (shards.length > 1) writer.add('model.safetensors.index.json', JSON.stringify(shardIndex(shards)));
    if (kind === 'checkpoint') return writer.files;
    for (const [name, bytes] of vocabularyFor(family.vocabulary(config), undefined, '').files) writer.add(name, bytes);
    const source = {name: `random weights, seed ${seed}`, weights: 'model', files: []};
    const manifest = {
      format: 'mue-tfjs',
      version: 1,
      family: family.name,
      source,
      dtype,
      parameters: parameterCount(weights),
      files: [...writer.files],
    };
    writer.add('manifest.json', JSON.stringify(manifest, null, 2));
    return writer.files;
  });
}

/** The weights that `writeRandomModel` writes for a configuration and seed, without a file, for a family's `load`. */
export function randomWeights(config: ModelConfig, seed = 1): WeightSource {
  const {family} = parseConfig(config, 'the configuration');
  const weights = new Map(family.weights(config).map((weight, i) => [weight.name, {weight, i}]));
  return {
    names: () => [...weights.keys()],
    shape: (name) => weights.get(name)?.weight.shape,
    read: (name) => {
      const {weight, i} = weights.get(name)!;
      return Promise.resolve(float16ToFloat32(randomWeight(weight, seed * 65537 + i)));
    },
  };
}

/** One weight, as the bits of halves. */
function randomWeight(weight: StoredWeight, seed: number): Uint16Array {
  const count = weight.shape.reduce((product, n) => product * n, 1);
  const constant = neutralValue(weight);
  if (constant !== null) return new Uint16Array(count).fill(constant === 1 ? 0x3c00 : 0);
  normals ??= normalHalves(0.02);
  const out = new Uint16Array(count);
  let state = seed >>> 0;
  for (let i = 0; i < count; i += 2) {
    // splitmix32: a counter, mixed. Each of its halves picks one of 65,536 quantiles.
    state = (state + 0x9e3779b9) >>> 0;
    let z = imul(state ^ (state >>> 16), 0x21f0aaad);
    z = imul(z ^ (z >>> 15), 0x735a2d97);
    z ^= z >>> 15;
    out[i] = normals[z & 0xffff]!;
    if (i + 1 < count) out[i + 1] = normals[z >>> 16]!;
  }
  return out;
}

/** Gains and variances 1; biases and means 0; null for what is drawn. */
function neutralValue({name, neutral, layout}: StoredWeight): 0 | 1 | null {
  if (neutral !== undefined) return neutral;
  if (/\.(bn\d|downsample\.1|ln_\w+)\.(weight|running_var)$/.test(name) || name.endsWith('.w_resid')) return 1;
  return layout === 'plain' && /\.(bias|running_mean)$/.test(name) ? 0 : null;
}

let normals: Uint16Array | undefined;

/** The quantiles of a normal distribution at the middles of 65,536 equal parts, as halves. */
function normalHalves(deviation: number): Uint16Array {
  const quantiles = new Float32Array(65536);
  // The cumulative distribution is added up by small steps, and each quantile taken where it passes.
  const {exp} = Math;
  const root = Math.sqrt(2 * Math.PI);
  const step = 1e-5;
  let [x, area, next] = [-6, 0, 0];
  while (next < 65536 && x < 6) {
    area += (exp((-x * x) / 2) / root) * step;
    x += step;
    while (next < 65536 && area >= (next + 0.5) / 65536) quantiles[next++] = x * deviation;
  }
  return float32ToFloat16(quantiles);
}
