import fs from 'node:fs';
import path from 'node:path';
import {fitsFloat16, float32ToFloat16} from '../../checkpoint/float16.js';
import {openModelWeights} from '../../checkpoint/model-weights.js';
import {bytesOf, type TensorPlan, writeSafetensors} from '../../checkpoint/safetensors.js';
import {planShards, shardIndex, shardName} from '../../checkpoint/shards.js';
import {parseConfig} from '../../models/families.js';
import {parameterCount} from '../../models/weights.js';
import {WeightsError} from '../../runtime/errors.js';
import {readTextFile} from '../files/regular-file.js';
import {FileAccess} from '../model/file-access.js';
import {readFolderJson} from '../model/manifest.js';
import {writeFolder} from '../model/model-folder.js';
import {parseJson} from '../../runtime/parse-json.js';

/** The most bytes of one file of weights. */
const MOST_BYTES = 2e9;

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** The part of a manifest that is read here. */
interface Manifest {
  readonly files: readonly {readonly name: string; readonly bytes: number; readonly sha256: string}[];
}

/**
 * Writes a model folder: that of another model with some weights changed. Each array is float16 where that loses
 * nothing, so that what was not trained keeps its bytes. Exit plans and adapters are not taken over: they belong to
 * the weights before.
 * @param base      folder of the model
 * @param changed   values of trained weights, by their names
 * @param note      what was trained; into the manifest
 * @throws WeightsError `not-a-model` if the base has no manifest; InputError `cannot-write`
 */
export async function writeTrainedModel(
  target: string,
  base: string,
  changed: ReadonlyMap<string, Float32Array>,
  note: object,
): Promise<void> {
  const manifest = readManifest(base);
  const {family, config} = parseConfig(readFolderJson(base, 'config.json'), base);
  const weights = family.weights(config);
  using source = await openModelWeights(
    (file) => Promise.resolve(FileAccess.open(path.join(base, file))),
    fs.readdirSync(base),
  );
  const values = async (name: string): Promise<Float32Array> => changed.get(name) ?? (await source.read(name));
  const tensors: TensorPlan[] = [];
  for (const {name, shape} of weights)
    tensors.push({name, shape, dtype: fitsFloat16(await values(name)) ? 'F16' : 'F32'});
  const isWeights = (name: string): boolean => /\.safetensors(\.index\.json)?$/.test(name);
  await writeFolder(target, {force: true}, async (writer) => {
    writer.add('config.json', json(config));
    const shards = planShards(tensors, MOST_BYTES);
    for (const [i, shard] of shards.entries()) {
      const produce = async ({name, dtype}: TensorPlan): Promise<Uint8Array> => {
        const numbers = await values(name);
        return bytesOf(dtype === 'F16' ? float32ToFloat16(numbers) : numbers);
      };
      await writer.stream(shardName(i, shards.length), (sink) =>
        writeSafetensors(shard, {format: 'mue-tfjs'}, produce, sink),
      );
    }
    if (shards.length > 1) writer.add('model.safetensors.index.json', json(shardIndex(shards)));
    for (const {name} of manifest.files)
      if (!isWeights(name) && name !== 'config.json') writer.add(name, fs.readFileSync(path.join(base, name)));
    writer.add(
      'manifest.json',
      json({
        format: 'mue-tfjs',
        version: 1,
        family: family.name,
        source: {
          name: path.basename(path.resolve(base)),
          weights: 'trained',
          files: manifest.files.filter(({name}) => isWeights(name)),
        },
        training: note,
        dtype: tensors.some(({dtype}) => dtype === 'F32') ? 'float32' : 'float16',
        parameters: parameterCount(weights),
        files: [...writer.files],
      }),
    );
  });
}

function readManifest(folder: string): Manifest {
  try {
    const {files} = parseJson(readTextFile(path.join(folder, 'manifest.json'))) as Partial<Manifest>;
    // Names are joined to a path.
    if (Array.isArray(files) && files.every(({name}) => /^[\w-][\w.-]*$/.test(name))) return {files};
  } catch {
    // Said below.
  }
  throw new WeightsError('not-a-model', `${folder} has no manifest that lists its files`, {
    hint: 'A model folder is what `mue convert` writes.',
  });
}
