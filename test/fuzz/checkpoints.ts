import type {Checkpoint} from '../../src/checkpoint/checkpoint.js';
import {pickle} from '../../src/checkpoint/pickle-writer.js';
import {SafetensorsFile} from '../../src/checkpoint/safetensors.js';
import {TorchFile} from '../../src/checkpoint/torch-zip.js';
import {familyOfCheckpoint} from '../../src/models/families.js';
import type {Random} from '../../src/runtime/random.js';
import {MemoryAccess} from '../support/data/memory-access.js';
import {goldenBytes} from '../support/golden/golden.js';
import {stateDict, zip} from '../support/data/torch-zip-writer.js';
import type {Target} from './campaign.js';
import {mutateBytes, mutateJson} from './mutate.js';

const WORDS = [
  'cos\nsystem\n',
  'cbuiltins\neval\n',
  'ctorch._utils\n_rebuild_tensor_v2\n',
  'ccollections\nOrderedDict\n',
  'ctorch\nFloatStorage\n',
  'ctorch\nconstructor\n',
  '(',
  't',
  '.',
  'R',
  'b',
  '\x81',
  '}',
  'u',
  's',
  'Q',
  'h\0',
  'q\0',
  '\x8a\x08\xff\xff\xff\xff\xff\xff\xff\xff',
  'X\xff\xff\xff\xff',
  'J\xff\xff\xff\xff',
  '\x94',
  '\x93',
  '\x8e\xff\xff\xff\xff\xff\xff\xff\x7f',
  'I00\n',
  'F1e309\n',
  '__proto__',
  'PK\x05\x06',
  'PK\x01\x02',
];
const {state, storages} = stateDict(
  new Map([
    ['encoder.embed_tokens.weight', {shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6)}],
    ['decoder.layers.0.fc1.bias', {shape: [2], data: Float32Array.of(1, 2)}],
  ]),
);
const PICKLE = pickle(new Map([['model', state]]));
const CHECKPOINT = goldenBytes('ofa_micro.pt');
const TENSORS = goldenBytes('ofa_micro.safetensors');
const HEADER = Number(Buffer.from(TENSORS).readBigUInt64LE(0));

/** PyTorch and safetensors files: whole ones, and those with a changed pickle or header inside a sound frame. */
export const checkpoints: Target = {
  name: 'checkpoints',
  seconds: 2,
  bytes: 3e8,
  async run(random) {
    // Whole checkpoints have a megabyte, and take longest.
    const kind = random.below(16);
    if (kind === 0) return await readTorch(mutateBytes(CHECKPOINT, WORDS, random));
    if (kind === 1) return await readSafetensors(mutateBytes(TENSORS, WORDS, random));
    return kind < 12 ? await readTorch(torchFile(random)) : await readSafetensors(headerChanged(random));
  },
};

function torchFile(random: Random): Buffer {
  const data = [...storages].map(([key, bytes]) => ({
    name: `archive/data/${key}`,
    data: bytes,
    deflate: random.below(2) === 0,
  }));
  const file = zip([
    {name: 'archive/data.pkl', data: mutateBytes(PICKLE, WORDS, random), deflate: random.below(2) === 0},
    ...data,
  ]);
  return random.below(4) === 0 ? mutateBytes(file, WORDS, random) : file;
}

function headerChanged(random: Random): Buffer {
  const header: unknown = JSON.parse(Buffer.from(TENSORS.subarray(8, 8 + HEADER)).toString());
  const json = Buffer.from(JSON.stringify(mutateJson(header, random)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, TENSORS.subarray(8 + HEADER)]);
}

async function readTorch(bytes: Uint8Array): Promise<string> {
  const checkpoint = (await TorchFile.open(new MemoryAccess('fuzz.pt', bytes))).checkpoint();
  return await planAndRead(checkpoint);
}

async function readSafetensors(bytes: Uint8Array): Promise<string> {
  return await planAndRead(await SafetensorsFile.open(new MemoryAccess('fuzz.safetensors', bytes)));
}

async function planAndRead(checkpoint: Checkpoint): Promise<string> {
  for (const name of checkpoint.names()) await checkpoint.read(name);
  familyOfCheckpoint(checkpoint.names()).plan(checkpoint, checkpoint.cfg);
  return 'planned';
}
