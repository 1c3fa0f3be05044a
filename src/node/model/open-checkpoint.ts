import fs from 'node:fs';
import path from 'node:path';
import type {Checkpoint, PlainValue} from '../../checkpoint/checkpoint.js';
import {SafetensorsFile} from '../../checkpoint/safetensors.js';
import {openShards} from '../../checkpoint/shards.js';
import {type StateName, TorchFile} from '../../checkpoint/torch-zip.js';
import {WeightsError} from '../../runtime/errors.js';
import {FileAccess} from './file-access.js';
import {namedEntry, readTextFile, whyUnreadable} from '../files/regular-file.js';
import {parseJson} from '../../runtime/parse-json.js';

/** A checkpoint on disk: weights, the settings that belong to them, and the files that hold both. */
export interface OpenCheckpoint extends Disposable {
  readonly checkpoint: Checkpoint;
  /** The settings; null where there are none. */
  readonly cfg: PlainValue;
  /** The folder that the weights are in. */
  readonly folder: string;
  /** The absolute paths of every file of weights, and of config.json if it was read. */
  readonly files: readonly string[];
}

/** The files of weights that a folder may hold, the preferred first. */
const WEIGHT_FILES = [
  'model.safetensors.index.json',
  'model.safetensors',
  'pytorch_model.bin.index.json',
  'pytorch_model.bin',
  'open_clip_model.safetensors',
  'open_clip_pytorch_model.bin',
];
/**
 * The files of settings beside the weights, the preferred first; a folder with the first has the second for other
 * libraries.
 */
const CONFIG_FILES = ['open_clip_config.json', 'config.json'];
const MAX_CONFIG_BYTES = 16 * 2 ** 20;

/**
 * Opens a `.pt`, `.bin` or `.safetensors` file, or a folder laid out as Hugging Face's are, in shards or not. Settings
 * come from the file itself, else from `open_clip_config.json` or `config.json` beside the weights.
 * @param which the model's weights, or their moving average, which only checkpoints of trainers have
 * @returns the checkpoint, the caller's to dispose
 * @throws WeightsError if there is none, or it is damaged
 */
export async function openCheckpoint(input: string, which: StateName = 'model'): Promise<OpenCheckpoint> {
  const file = path.resolve(weightFile(input));
  const folder = path.dirname(file);
  const files = [file];
  const open = async (name: string): Promise<Checkpoint> => {
    const shard = path.join(folder, name);
    if (shard !== file) files.push(shard);
    return openFile(shard, which);
  };
  const checkpoint = file.endsWith('.index.json')
    ? await openShards(path.basename(file), readText(file, 2 ** 26), open)
    : await open(path.basename(file));
  try {
    let {cfg} = checkpoint;
    const config = CONFIG_FILES.map((name) => path.join(folder, name)).find((name) => fs.existsSync(name));
    if (cfg === null && config) {
      cfg = parse(config);
      files.push(config);
    }
    return {checkpoint, cfg, folder, files, [Symbol.dispose]: () => checkpoint[Symbol.dispose]()};
  } catch (error) {
    checkpoint[Symbol.dispose]();
    throw error;
  }
}

function weightFile(input: string): string {
  const entry = namedEntry(input);
  if (entry.kind === 'neither') throw new WeightsError('unreadable-file', `${input}: ${entry.why}.`);
  if (entry.kind === 'file') return input;
  const names = namesIn(input);
  const known = WEIGHT_FILES.find((name) => names.includes(name));
  const others = names.filter((name) => /\.(pt|pth|bin|safetensors)$/.test(name));
  if (known) return path.join(input, known);
  if (others.length === 1) return path.join(input, others[0]!);
  throw new WeightsError(
    'not-a-checkpoint',
    `${input}: ${others.length} files of weights in the folder; one, or ${WEIGHT_FILES.join(' or ')}, is wanted.`,
    {
      hint: 'Name the file itself.',
    },
  );
}

/** The names in a folder. @throws WeightsError `unreadable-file` */
export function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (cause) {
    throw new WeightsError('unreadable-file', `${folder}: ${whyUnreadable(cause)}.`, {cause});
  }
}

/**
 * Opens a file by its first bytes, not by its name: a torch file is a zip, a safetensors file begins with the length of
 * its header.
 */
async function openFile(file: string, which: StateName): Promise<Checkpoint> {
  const access = FileAccess.open(file);
  try {
    const head = await access.read(0, Math.min(16, access.size));
    // Byte 8 of a safetensors file is the brace of its header.
    if (head[8] === 0x7b || file.endsWith('.safetensors')) {
      if (which === 'ema')
        throw new WeightsError('no-ema', `${access.name}: a safetensors file holds no moving average.`);
      return await SafetensorsFile.open(access);
    }
    return (await TorchFile.open(access)).checkpoint(which);
  } catch (error) {
    access[Symbol.dispose]();
    throw error;
  }
}

function readText(file: string, maxBytes: number): string {
  const entry = namedEntry(file);
  if (entry.kind === 'file' && entry.size > maxBytes)
    throw new WeightsError('bad-config', `${file}: ${entry.size} bytes, at most ${maxBytes} are read.`);
  try {
    return readTextFile(file);
  } catch (cause) {
    throw new WeightsError('bad-config', `${file}: ${whyUnreadable(cause)}.`, {cause});
  }
}

function parse(file: string): PlainValue {
  try {
    return parseJson(readText(file, MAX_CONFIG_BYTES)) as PlainValue;
  } catch (cause) {
    if (cause instanceof WeightsError) throw cause;
    throw new WeightsError('bad-config', `${file}: not JSON: ${(cause as Error).message}.`, {cause});
  }
}
