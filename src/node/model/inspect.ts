import fs from 'node:fs';
import path from 'node:path';
import {elementCount, type TensorEntry} from '../../checkpoint/checkpoint.js';
import type {StateName} from '../../checkpoint/torch-zip.js';
import {familyOfCheckpoint, knownConfig} from '../../models/families.js';
import type {ModelConfig, ModelFamily} from '../../models/family.js';
import {parameterCount} from '../../models/weights.js';
import type {StoredWeight} from '../../nn/block.js';
import {WeightsError} from '../../runtime/errors.js';
import {openCheckpoint} from './open-checkpoint.js';
import {largest} from '../../runtime/extremes.js';

/** The facts about a model folder or a checkpoint that no computation is needed for. */
export interface Inspection {
  readonly path: string;
  /** 'model': a folder that `mue convert` wrote. 'checkpoint': anything that it could read. */
  readonly kind: 'model' | 'checkpoint';
  readonly format: 'torch' | 'safetensors';
  /** Null where the tensors are not a model of a known family; `problem` then says why. */
  readonly config: ModelConfig | null;
  /** The model in one line. */
  readonly model: string | null;
  readonly problem: string | null;
  /**
   * Without running statistics and index tables, tied weights once. Where there is no configuration: all elements of
   * the file.
   */
  readonly parameters: number;
  /** The parameters by part of the model, the largest first. */
  readonly parts: readonly {readonly part: string; readonly parameters: number}[];
  /** All tensors of the file, in its order. */
  readonly tensors: readonly ({readonly name: string} & TensorEntry)[];
  readonly notes: readonly string[];
}

/**
 * Looks into a model folder or a checkpoint without reading a tensor. A checkpoint of another model is no error: its
 * tensors are listed.
 * @throws WeightsError if it is neither, or damaged
 */
export async function inspect(target: string, options: {readonly which?: StateName} = {}): Promise<Inspection> {
  using source = await openCheckpoint(target, options.which);
  const {checkpoint, cfg} = source;
  const tensors = checkpoint.names().map((name) => ({name, ...checkpoint.entry(name)}));
  const about = {path: target, format: checkpoint.format, tensors};
  const known = fs.existsSync(path.join(source.folder, 'manifest.json')) ? knownConfig(cfg) : undefined;
  if (known) {
    const {family, config} = known;
    const wanted = family.weights(config);
    const model = family.describe(config);
    return {
      ...about,
      kind: 'model',
      config,
      model,
      problem: mismatch(wanted, tensors),
      notes: [],
      ...counts(family, wanted),
    };
  }
  const family = familyOfCheckpoint(checkpoint.names());
  try {
    const {config, weights, notes} = family.plan(checkpoint, cfg);
    return {
      ...about,
      kind: 'checkpoint',
      config,
      model: family.describe(config),
      problem: null,
      notes,
      ...counts(family, weights),
    };
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    const parts = sumBy(
      tensors,
      ({name}) => name.split('.')[0]!,
      (tensor) => elementCount(tensor.shape),
    );
    const parameters = parts.reduce((sum, part) => sum + part.parameters, 0);
    return {
      ...about,
      kind: 'checkpoint',
      config: null,
      model: null,
      problem: error.message,
      notes: [],
      parameters,
      parts,
    };
  }
}

function counts(family: ModelFamily, weights: readonly StoredWeight[]): Pick<Inspection, 'parameters' | 'parts'> {
  return {
    parameters: parameterCount(weights),
    parts: sumBy(
      weights,
      ({name}) => family.partOf(name),
      (weight) => parameterCount([weight]),
    ),
  };
}

function sumBy<T>(items: readonly T[], key: (item: T) => string, count: (item: T) => number): Inspection['parts'] {
  const sums = new Map<string, number>();
  for (const item of items) sums.set(key(item), (sums.get(key(item)) ?? 0) + count(item));
  return [...sums].map(([part, parameters]) => ({part, parameters})).sort((a, b) => b.parameters - a.parameters);
}

function mismatch(wanted: readonly StoredWeight[], tensors: Inspection['tensors']): string | null {
  const shapes = new Map(tensors.map(({name, shape}) => [name, shape.join(', ')]));
  const bad = wanted.filter(({name, shape}) => shapes.get(name) !== shape.join(', ')).map(({name}) => name);
  return bad.length
    ? `${bad.length} weights are missing or of another shape than config.json asks for: ${bad.slice(0, 10).join(', ')}${bad.length > 10 ? ', …' : ''}`
    : null;
}

/** The settings as pairs: plain ones first, then those of parts as `part.name`. */
function flattened(config: ModelConfig): [string, unknown][] {
  const isPart = (value: unknown): value is object =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const entries = Object.entries(config) as [string, unknown][];
  return [
    ...entries.filter(([, value]) => !isPart(value)),
    ...entries.flatMap(([key, part]) =>
      isPart(part) ? Object.entries(part).map(([name, value]): [string, unknown] => [`${key}.${name}`, value]) : [],
    ),
  ];
}

/**
 * The inspection as text.
 * @param listTensors adds a line for every tensor
 */
export function formatInspection(inspection: Inspection, listTensors = true): string {
  const {config, problem, parts, tensors, parameters} = inspection;
  const width = Math.max('parameters'.length, largest(parts.map(({part}) => part.length)));
  const digits = parameters.toLocaleString('en-US').length;
  const count = (label: string, n: number): string =>
    `  ${label.padEnd(width)}  ${n.toLocaleString('en-US').padStart(digits)}`;
  const settings = config ? flattened(config) : [];
  return [
    `${inspection.path}: ${inspection.kind === 'model' ? 'converted model' : 'checkpoint'}, ${inspection.format}, ${tensors.length} tensors`,
    ...(inspection.model ? [`  ${inspection.model}`] : []),
    ...(problem ? [`  problem: ${problem}`] : []),
    ...inspection.notes.map((note) => `  note: ${note}`),
    '',
    count('parameters', parameters),
    ...parts.map(({part, parameters}) => count(part, parameters)),
    ...(config ? ['', 'configuration', ...settings.map(([key, value]) => `  ${key} = ${JSON.stringify(value)}`)] : []),
    ...(listTensors
      ? ['', 'tensors', ...tensors.map(({name, dtype, shape}) => `  ${name}  ${dtype} [${shape.join(', ')}]`)]
      : []),
  ].join('\n');
}
