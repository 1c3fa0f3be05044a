import {createHash} from 'node:crypto';
import path from 'node:path';
import {z} from 'zod';
import {toFloat32} from '../../checkpoint/dtype.js';
import {bytesOf, SafetensorsFile, type TensorPlan, writeSafetensors} from '../../checkpoint/safetensors.js';
import {STACK_NAMES} from '../../exit/policy.js';
import {writingStack} from '../../exit/stacks.js';
import type {VisionLanguageModel} from '../../models/model.js';
import {ADAPTER_KINDS, ExitAdapters} from '../../nn/exit-adapters.js';
import {
  checkArguments,
  COUNT,
  fields,
  instanceOf,
  OBJECT,
  optional,
  PATH,
  TEXT,
} from '../../runtime/check-arguments.js';
import {WeightsError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {LearntFrom, TaskAdapters} from '../../tasks/pipeline.js';
import {ADAPTER_TASKS, type AdapterTask} from '../../training/rows.js';
import {writeAtomic} from '../runs/write-atomic.js';
import {namedEntry} from '../files/regular-file.js';
import {FileAccess} from './file-access.js';
import {verifyFile} from './manifest.js';
import {hashFile} from './model-folder.js';
import {parseJson} from '../../runtime/parse-json.js';

// exit-adapters.safetensors: the weights of every task's adapters under `<task>.layers.<layer>.…`, and metadata that
// say what they are and which weights they belong to.

/** The file of a model folder's own exit adapters. */
export const ADAPTERS_FILE = 'exit-adapters.safetensors';

/** Largest file that is read, bytes: full adapters of the largest models take a hundredth of it. */
const MOST_BYTES = 2 ** 30;

const setSchema = z.strictObject({
  kind: z.enum(ADAPTER_KINDS),
  size: z.number().int().min(1),
  width: z.number().int().min(0).max(65_536),
  layers: z.array(z.number().int().min(1)).min(1).max(1024).readonly(),
  /** SHA-256 of the data set that they learnt from, where it is known. */
  data: z.string().optional(),
});
const setsSchema = z.partialRecord(z.enum(ADAPTER_TASKS), setSchema);
type Sets = z.infer<typeof setsSchema>;

/** Safetensors' metadata are texts. */
const metadataSchema = z.object({
  format: z.literal('mue-exit-adapters'),
  version: z.literal('1'),
  /** SHA-256 of the weights that they were trained with. */
  weights: z.string(),
  stack: z.enum(STACK_NAMES),
  /** JSON of `setsSchema`. */
  tasks: z.string().max(2 ** 20),
  /** SHA-256 of the tensors, everything behind the header; older files have none. */
  content: z.string().optional(),
});

/** The model that adapters are for. */
export interface AdaptedModel {
  readonly model: Pick<VisionLanguageModel, 'stacks' | 'stateSize'>;
  /** SHA-256 of its weights. */
  readonly weights: string | undefined;
}

/** Exit adapters of a file. */
export interface LoadedAdapters {
  /** The caller's. */
  readonly adapters: TaskAdapters;
  /** SHA-256 of the file. */
  readonly sha256: string;
  /** SHA-256 of the data set that each task's learnt from, where it is known. */
  readonly learntFrom: LearntFrom;
}

/** The file that a name stands for: the file itself, or the one in a folder. */
export function adaptersFile(name: string): string {
  return namedEntry(name).kind === 'folder' ? path.join(name, ADAPTERS_FILE) : name;
}

/**
 * Reads exit adapters.
 * @throws WeightsError `adapters-other-weights` if they were trained with other weights; `adapters-invalid`,
 *   `weights-mismatch`, `damaged-safetensors`, `unreadable-file`; `file-changed` where `verify` finds other tensors
 */
export async function readExitAdapters(file: string, adapted: AdaptedModel, verify = true): Promise<LoadedAdapters> {
  using scope = new TensorScope();
  checkArguments('readExitAdapters', {
    file: [file, PATH],
    adapted: [adapted, fields({model: fields({stacks: OBJECT, stateSize: COUNT}), weights: optional(TEXT)})],
  });
  const {model, weights} = adapted;
  using access = FileAccess.open(file);
  const invalid = (why: string): WeightsError =>
    new WeightsError('adapters-invalid', `${file}: ${why}`, {hint: RETRAIN});
  if (access.size > MOST_BYTES) throw invalid(`${access.size} bytes are too many for exit adapters`);
  const checkpoint = await SafetensorsFile.open(access);
  const metadata = metadataSchema.safeParse(checkpoint.metadata);
  if (!metadata.success) throw invalid(`no exit adapters of this version: ${issue(metadata.error)}`);
  const {data: about} = metadata;
  if (about.weights !== weights)
    throw new WeightsError(
      'adapters-other-weights',
      `${file}: these exit adapters were trained with the weights ${about.weights.slice(0, 12)}…, not with ${weights ? `${weights.slice(0, 12)}…` : 'those of this folder, which has no manifest'}`,
      {hint: RETRAIN},
    );
  if (verify && about.content !== undefined) await verifyFile(file, about.content, {start: checkpoint.dataStart});
  const stack = writingStack(model.stacks);
  if (about.stack !== stack)
    throw invalid(`they are for the stack '${about.stack}', but '${stack}' is the one that writes`);
  const sets = parseSets(about.tasks, invalid);
  const known = Object.keys(sets).map((task) => `${task}.`);
  const stray = checkpoint.names().find((name) => !known.some((prefix) => name.startsWith(prefix)));
  if (stray !== undefined) throw invalid(`'${stray}' is of no task`);
  const adapters: Partial<Record<AdapterTask, ExitAdapters>> = {};
  const learntFrom: Partial<Record<AdapterTask, string>> = {};
  for (const [task, {data, ...set}] of Object.entries(sets) as [AdapterTask, z.infer<typeof setSchema>][]) {
    const {size, layers} = set;
    if (data !== undefined) learntFrom[task] = data;
    if (size !== model.stateSize) throw invalid(`they are for states of width ${size}, not ${model.stateSize}`);
    if (layers.some((layer, i) => layer >= model.stacks[stack]! || (i > 0 && layer <= layers[i - 1]!)))
      throw invalid(
        `'${task}' has the layers ${layers.join(', ')}; wanted are some of 1 to ${model.stacks[stack]! - 1}`,
      );
    adapters[task] = scope.hold(await loadSet(checkpoint, task, new ExitAdapters(set), invalid));
  }
  const {sha256} = await hashFile(file);
  for (const loaded of Object.values(adapters)) scope.give(loaded);
  return {adapters, sha256, learntFrom};
}

const RETRAIN = 'Train them again with `mue train exits`, or do without: --no-adapters.';

function parseSets(text: string, invalid: (why: string) => WeightsError): Sets {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw invalid(`its table of tasks is no JSON: ${(cause as Error).message}`);
  }
  const sets = setsSchema.safeParse(json);
  if (sets.success) return sets.data;
  throw invalid(`its table of tasks: ${issue(sets.error)}`);
}

function issue({issues}: z.ZodError): string {
  return `${issues[0]?.path.join('.')}: ${issues[0]?.message}`;
}

async function loadSet(
  checkpoint: SafetensorsFile,
  task: string,
  adapters: ExitAdapters,
  invalid: (why: string) => WeightsError,
): Promise<ExitAdapters> {
  const prefix = `${task}.`;
  const names = checkpoint.names().filter((name) => name.startsWith(prefix));
  await adapters.load({
    names: () => names.map((name) => name.slice(prefix.length)),
    shape: (name) => (checkpoint.has(prefix + name) ? checkpoint.entry(prefix + name).shape : undefined),
    read: async (name) => {
      const values = toFloat32(await checkpoint.read(prefix + name));
      if (values.every(Number.isFinite)) return values;
      throw invalid(`'${prefix}${name}' holds what is no number`);
    },
  });
  return adapters;
}

/** What a file of exit adapters holds. */
export interface AdaptersContent {
  /** Of every task that the file is to have; borrowed. */
  readonly adapters: TaskAdapters;
  /** SHA-256 of the weights that they were trained with. */
  readonly weights: string;
  readonly stack: string;
  /** SHA-256 of the data set that each task's learnt from, where it is known. */
  readonly learntFrom?: LearntFrom;
}

/**
 * Writes exit adapters, whole or not at all.
 * @throws InputError `cannot-write`
 */
export async function writeExitAdapters(file: string, content: AdaptersContent): Promise<void> {
  checkArguments('writeExitAdapters', {
    file: [file, PATH],
    content: [content, fields({adapters: OBJECT, weights: TEXT, stack: TEXT})],
  });
  const {adapters, weights, stack, learntFrom = {}} = content;
  const tensors: TensorPlan[] = [];
  const values = new Map<string, Uint8Array>();
  const sets: Record<string, unknown> = {};
  for (const [task, set] of Object.entries(adapters)) {
    checkArguments('writeExitAdapters', {
      [`content.adapters.${task}`]: [set, instanceOf('exit adapters', ExitAdapters)],
    });
    const {kind, size, width, layers} = set.config;
    sets[task] = {kind, size, width, layers, data: learntFrom[task as AdapterTask]};
    for (const [i, {name, shape}] of set.storedWeights().entries()) {
      const data = await set.trainableWeights[i]!.read().data();
      tensors.push({name: `${task}.${name}`, dtype: 'F32', shape: [...shape]});
      values.set(`${task}.${name}`, bytesOf(data));
    }
  }
  const hash = createHash('sha256');
  for (const {name} of tensors) hash.update(values.get(name)!);
  const digest = hash.digest('hex');
  const metadata = {
    format: 'mue-exit-adapters',
    version: '1',
    weights,
    stack,
    tasks: JSON.stringify(sets),
    content: digest,
  };
  const pieces: Uint8Array[] = [];
  await writeSafetensors(
    tensors,
    metadata,
    ({name}) => Promise.resolve(values.get(name)!),
    (piece) => Promise.resolve(void pieces.push(piece)),
  );
  writeAtomic(file, pieces);
}

/** What plans and recordings of an adapted model name: neither the weights' hash alone nor that of other adapters. */
export function adaptedHash(weights: string | undefined, adapters: string): string | undefined {
  return weights && createHash('sha256').update(`${weights}+${adapters}`).digest('hex');
}
