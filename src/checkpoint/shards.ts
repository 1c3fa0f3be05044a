import {WeightsError} from '../runtime/errors.js';
import {type Checkpoint, type PlainValue, type TensorEntry, unknownTensor} from './checkpoint.js';
import type {TensorData} from './dtype.js';
import {type TensorPlan, tensorBytes} from './safetensors.js';
import {parseJson} from '../runtime/parse-json.js';

/** Several files that together are one checkpoint. Owns them. */
class ShardedCheckpoint implements Checkpoint {
  readonly cfg: PlainValue = null;
  readonly format: Checkpoint['format'];
  readonly placeholders: readonly string[];
  private readonly home: ReadonlyMap<string, Checkpoint>;

  /** @throws WeightsError if two parts hold the same name */
  constructor(
    readonly source: string,
    private readonly parts: readonly Checkpoint[],
  ) {
    this.format = parts[0]?.format ?? 'safetensors';
    this.placeholders = [...new Set(parts.flatMap((part) => part.placeholders))];
    const home = new Map<string, Checkpoint>();
    for (const part of parts)
      for (const name of part.names()) {
        if (home.has(name))
          throw new WeightsError(
            'damaged-shards',
            `${source}: '${name}' is in ${home.get(name)!.source} and in ${part.source}.`,
          );
        home.set(name, part);
      }
    this.home = home;
  }

  names(): readonly string[] {
    return [...this.home.keys()];
  }

  has(name: string): boolean {
    return this.home.has(name);
  }

  entry(name: string): TensorEntry {
    return this.part(name).entry(name);
  }

  read(name: string): Promise<TensorData> {
    return this.part(name).read(name);
  }

  sameStorage(a: string, b: string): boolean {
    return this.part(a) === this.part(b) && this.part(a).sameStorage(a, b);
  }

  [Symbol.dispose](): void {
    for (const part of this.parts) part[Symbol.dispose]();
  }

  private part(name: string): Checkpoint {
    const part = this.home.get(name);
    if (!part) throw unknownTensor(this.source, name);
    return part;
  }
}

/** An index (`model.safetensors.index.json`, `pytorch_model.bin.index.json`): which shard holds which name. */
interface ShardIndex {
  readonly metadata: {readonly total_size: number};
  readonly weight_map: Readonly<Record<string, string>>;
}

/**
 * The files that an index names, sorted.
 * @throws WeightsError if it is no index, or names anything but files beside it
 */
export function indexedFiles(source: string, json: string): readonly string[] {
  let map: unknown;
  try {
    map = (parseJson(json) as {weight_map?: unknown} | null)?.weight_map;
  } catch (cause) {
    throw new WeightsError('damaged-shards', `${source}: the index is no JSON.`, {cause});
  }
  const files = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  if (files.length === 0) throw new WeightsError('damaged-shards', `${source}: the index has no 'weight_map'.`);
  for (const file of files)
    if (typeof file !== 'string' || !/^[\w-][\w.-]*$/.test(file))
      throw new WeightsError('damaged-shards', `${source}: '${String(file)}' is no file beside the index.`);
  return (files as string[]).sort();
}

/**
 * Opens every file of an index as one checkpoint.
 * @param source the name of the index in messages
 * @param json   its text
 * @param open   opens a shard, which is closed with the result, or at once on an error
 * @throws WeightsError if a name is not in the shard that the index gives
 */
export async function openShards(
  source: string,
  json: string,
  open: (file: string) => Promise<Checkpoint>,
): Promise<Checkpoint> {
  const files = indexedFiles(source, json);
  const opened = new Map<string, Checkpoint>();
  try {
    for (const file of files) opened.set(file, await open(file));
    for (const [name, file] of Object.entries((parseJson(json) as ShardIndex).weight_map))
      if (!opened.get(file)?.has(name))
        throw new WeightsError('damaged-shards', `${source}: '${name}' should be in ${file}, but is not.`);
    return new ShardedCheckpoint(source, [...opened.values()]);
  } catch (error) {
    for (const part of opened.values()) part[Symbol.dispose]();
    throw error;
  }
}

/** Splits tensors, in order, into files of at most `maxBytes`; a larger tensor gets a file of its own. */
export function planShards(tensors: readonly TensorPlan[], maxBytes: number): readonly (readonly TensorPlan[])[] {
  const shards: TensorPlan[][] = [];
  let filled = Number.POSITIVE_INFINITY;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor);
    if (filled + bytes > maxBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += bytes;
  }
  return shards;
}

/** The name of a shard: `model.safetensors`, or `model-00002-of-00003.safetensors`. */
export function shardName(index: number, count: number): string {
  const digits = (n: number): string => String(n).padStart(5, '0');
  return count === 1 ? 'model.safetensors' : `model-${digits(index + 1)}-of-${digits(count)}.safetensors`;
}

/** The index of shards in the format of Hugging Face's libraries. */
export function shardIndex(shards: readonly (readonly TensorPlan[])[]): ShardIndex {
  const entries = shards.flatMap((shard, i) =>
    shard.map((tensor): [string, string] => [tensor.name, shardName(i, shards.length)]),
  );
  return {
    metadata: {total_size: shards.flat().reduce((sum, tensor) => sum + tensorBytes(tensor), 0)},
    weight_map: Object.fromEntries(entries),
  };
}
