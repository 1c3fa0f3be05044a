import fs from 'node:fs';
import path from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import zlib from 'node:zlib';
import type {Checkpoint} from '../../checkpoint/checkpoint.js';
import {writeSafetensors} from '../../checkpoint/safetensors.js';
import {writeTorchFile} from '../../checkpoint/torch-zip-writer.js';
import type {ExportFormat} from '../../models/export-formats.js';
import {exportedBytes, exportedPlan, type ModelExport, torchContent} from '../../models/export.js';
import {knownConfig, type KnownConfig} from '../../models/families.js';
import {throwIfAborted, WeightsError} from '../../runtime/errors.js';
import {append, largest} from '../../runtime/extremes.js';
import {ADAPTERS_FILE} from './exit-adapters.js';
import {checkTarget, type FileRecord, type FolderWriter, writeFolder} from './model-folder.js';
import {openCheckpoint} from './open-checkpoint.js';
import {vocabularyFor} from './vocabulary.js';

export interface ExportOptions {
  /** A model folder. */
  readonly input: string;
  /** The folder to write. */
  readonly output: string;
  readonly to: ExportFormat;
  /** Replace an export that is in the folder already. */
  readonly force?: boolean;
  readonly onProgress?: (event: {readonly file: string; readonly tensors: number}) => void;
  readonly signal?: AbortSignal;
}

/** The result of an export. */
export interface ExportReport {
  readonly input: string;
  readonly output: string;
  readonly to: ExportFormat;
  /** The model in one line. */
  readonly model: string;
  /** The number of tensors, further names of the same one not counted. */
  readonly tensors: number;
  readonly files: readonly FileRecord[];
  /** Decisions that deserve a word. */
  readonly notes: readonly string[];
}

/**
 * Writes a model folder as its authors' code reads it: weights under their names and in their layout, settings,
 * vocabulary, and a manifest. One tensor is in memory at a time; values are not rounded. Before the folder appears, the
 * importer has read names, shapes and settings back. On an error nothing is written.
 * @throws WeightsError `not-a-model`, `weights-mismatch`, `cannot-export`
 * @throws UsageError for an output folder that is in use
 * @throws AbortError
 */
export async function exportModel(options: ExportOptions): Promise<ExportReport> {
  const {input, output, to, force = false, signal} = options;
  throwIfAborted(signal);
  checkTarget(path.resolve(output), force);
  using source = await openCheckpoint(input);
  const known = knownConfig(source.cfg);
  if (!known)
    throw new WeightsError('not-a-model', `${input} is no model folder.`, {
      hint: 'A model folder is what `mue convert` writes.',
    });
  const {family, config} = known;
  checkWeights(source.checkpoint, known);
  const plan = family.export(config, to);
  const {files: vocabulary} = vocabularyFor(family.vocabulary(config), undefined, source.folder);
  const notes = [...plan.notes];
  const files = await writeFolder(output, {force}, async (writer) => {
    await writeWeights(writer, source.checkpoint, plan, options);
    if (plan.settings) writer.add(plan.settings.file, json(plan.settings.json));
    for (const [name, bytes] of vocabulary) writer.add(...asPublished(name, bytes));
    append(notes, addAdapters(writer, source.folder, to));
    append(notes, await lostSettings(writer, plan, known));
    const manifest = {format: 'mue-tfjs-export', version: 1, family: family.name, to, files: [...writer.files]};
    writer.add('manifest.json', json(manifest));
    return writer.files;
  });
  return {input, output, to, model: family.describe(config), tensors: plan.tensors.length, files, notes};
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** @throws WeightsError `weights-mismatch` where the folder's weights are not those of its configuration */
function checkWeights(checkpoint: Checkpoint, {family, config}: KnownConfig): void {
  const wrong = family.weights(config).filter(({name, shape}) => {
    const entry = checkpoint.has(name) ? checkpoint.entry(name) : undefined;
    return entry?.shape.join() !== shape.join() || (entry.dtype !== 'F16' && entry.dtype !== 'F32');
  });
  if (wrong.length === 0) return;
  const names = wrong.slice(0, 10).map(({name}) => `'${name}'`);
  throw new WeightsError(
    'weights-mismatch',
    `${checkpoint.source}: ${wrong.length} weights are missing, or of another shape or type than config.json asks for: ${names.join(', ')}${wrong.length > 10 ? ', …' : ''}.`,
  );
}

async function writeWeights(
  writer: FolderWriter,
  model: Checkpoint,
  plan: ModelExport,
  {onProgress, signal}: ExportOptions,
): Promise<void> {
  const {file, tensors, tied} = plan;
  onProgress?.({file, tensors: tensors.length});
  const bytesOf = (index: number): Promise<Uint8Array> => {
    throwIfAborted(signal);
    return exportedBytes(tensors[index]!, model);
  };
  await writer.stream(file, async (sink) => {
    if (!file.endsWith('.safetensors'))
      return writeTorchFile(torchContent(plan, model), ({key}) => bytesOf(Number(key)), sink);
    const plans = tensors.map((tensor) => exportedPlan(tensor, model));
    const index = new Map(tensors.map(({name}, i) => [name, i]));
    // The format has no shared tensors: its own library, too, keeps one of them and lists the other names.
    const metadata = {format: 'pt', ...Object.fromEntries(tied)};
    return writeSafetensors(plans, metadata, ({name}) => bytesOf(index.get(name)!), sink);
  });
  throwIfAborted(signal);
}

/** A file of the vocabulary as its publishers have it: open_clip reads a packed list, fairseq files that are not. */
function asPublished(name: string, bytes: Buffer): [name: string, bytes: Buffer] {
  const fairseq = /^(dict\.txt|encoder\.json|vocab\.bpe)\.gz$/.exec(name);
  return fairseq ? [fairseq[1]!, zlib.gunzipSync(bytes)] : [name, bytes];
}

/** Copies exit adapters beside safetensors. @returns what has to be said of them */
function addAdapters(writer: FolderWriter, folder: string, to: ExportFormat): string[] {
  const file = path.join(folder, ADAPTERS_FILE);
  if (!fs.existsSync(file)) return [];
  if (to !== 'safetensors')
    return [`exit adapters are left out: the authors' code has none (--to safetensors writes ${ADAPTERS_FILE} beside)`];
  writer.add(ADAPTERS_FILE, fs.readFileSync(file));
  return [`exit adapters are in ${ADAPTERS_FILE}; the authors' code has no place for them`];
}

/**
 * Reads names, shapes and settings of the written files as a conversion would.
 * @returns what has to be said of settings that would not come back
 * @throws WeightsError for what would be no such model
 */
async function lostSettings(writer: FolderWriter, plan: ModelExport, {family, config}: KnownConfig): Promise<string[]> {
  using written = await openCheckpoint(path.join(writer.folder, plan.file));
  const back = family.plan(written.checkpoint, written.cfg).config as unknown as Readonly<Record<string, unknown>>;
  const lost = Object.entries(config).filter(([name, value]) => !isDeepStrictEqual(back[name], value));
  return lost.length ? [`settings that the format has no place for: ${lost.map(([name]) => name).join(', ')}`] : [];
}

/** The report as text. */
export function formatExport({input, output, to, model, tensors, files, notes}: ExportReport): string {
  const width = largest(files.map(({name}) => name.length));
  return [
    `${input} → ${output} (${to})`,
    `  ${model}`,
    `  ${tensors} tensors`,
    ...files.map(({name, bytes}) => `  ${name.padEnd(width)}  ${bytes.toLocaleString('en-US')} bytes`),
    ...notes.map((note) => `  note: ${note}`),
  ].join('\n');
}
