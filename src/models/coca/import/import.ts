import type {Checkpoint, PlainValue} from '../../../checkpoint/checkpoint.js';
import type {StoredWeight} from '../../../nn/block.js';
import {UsageError, WeightsError} from '../../../runtime/errors.js';
import {plainNames} from '../../plain-names.js';
import {checkComplete, checkpointShape, checkTensors, type ImportedWeight, type ModelImport} from '../../weights.js';
import {COCA_ARCHITECTURES, type CocaConfig, patchGrid} from '../config.js';
import {importConfig, isOpenClipConfig} from './config.js';
import {cocaWeights} from '../model.js';
import {type CocaSource, ignoredReason, sourcesOf} from './names.js';
import {resizeGrid, resizeRows} from './position-grid.js';

const GRID = 'visual.positional_embedding';
const ROWS = 'text.positional_embedding';

/** Whether tensors of the multimodal decoder are there, which no other model of open_clip has. */
function hasDecoder(names: readonly string[]): boolean {
  return names.some((name) => name.startsWith('text_decoder.cross_attn.'));
}

/** Whether names are those of a CoCa, with or without a prefix that all share. */
export function isCoca(names: readonly string[]): boolean {
  return plainNames(names, hasDecoder) !== undefined;
}

/**
 * Compares an open_clip checkpoint with the model that its configuration asks for.
 * @param cfg `open_clip_config.json` or a `model_cfg`; without one the named architecture, or the one that the tensors
 *   fit
 * @throws WeightsError if it lacks weights, has unknown ones or ones of other shapes: all of them in one message
 */
export function importCoca(checkpoint: Checkpoint, cfg: PlainValue, architecture?: string): ModelImport<CocaConfig> {
  const notes: string[] = [];
  const names = checkpoint.names();
  const sources = plainNames(names, hasDecoder) ?? new Map(names.map((name) => [name, name]));
  const shape = (name: string): readonly number[] | undefined => {
    const source = sources.get(name);
    return source === undefined ? undefined : checkpoint.entry(source).shape;
  };
  const config = chooseConfig(checkpoint.source, cfg, architecture, shape, notes);
  const wanted = weightsWithSources(config);
  const chosen = wanted.map(({from}) => from.find(({name}) => sources.has(name)));
  const used = new Set(chosen.flatMap((source) => (source ? [source.name] : [])));
  const missing = new Set(wanted.flatMap(({from}, i) => (chosen[i] ? [] : [from[0]!.name])));
  const rest = [...sources]
    .filter(([name]) => !used.has(name))
    .map(([name, source]) => ({name: source, reason: ignoredReason(name)}));
  checkComplete(
    checkpoint.source,
    [...missing],
    rest.flatMap(({name, reason}) => (reason === null ? [name] : [])),
  );
  const weights = wanted.map(({weight}, i): ImportedWeight => {
    const {name, rows} = chosen[i]!;
    const source = sources.get(name)!;
    const adapt = adapted(weight, shape(name)!, config, notes);
    return {
      ...weight,
      source,
      dtype: checkpoint.entry(source).dtype,
      ...(rows ? {rows} : {}),
      ...(adapt ? {adapt} : {}),
    };
  });
  checkTensors(
    checkpoint,
    wanted.flatMap(({weight}, i): [string, readonly number[]][] => {
      const source = chosen[i]!;
      return weights[i]!.adapt ? [] : [[sources.get(source.name)!, sourceShape(weight, source, shape(source.name)!)]];
    }),
  );
  for (const path of checkpoint.placeholders)
    notes.push(`the file names the class ${path}: kept as data, never called`);
  return {config, weights, ignored: rest.map(({name, reason}) => ({name, reason: reason ?? ''})), notes};
}

/** Every weight of the model, and the tensors of a file that it may be. */
function weightsWithSources(
  config: CocaConfig,
): readonly {readonly weight: StoredWeight; readonly from: readonly CocaSource[]}[] {
  const weights = cocaWeights(config);
  const shapes = new Map(weights.map(({name, shape}) => [name, shape]));
  return weights.map((weight) => ({weight, from: sourcesOf(weight, shapes)}));
}

/** The shape that a tensor of the file should have. @param got its shape: one number may be stored as a list of one */
function sourceShape(weight: StoredWeight, {rows}: CocaSource, got: readonly number[]): readonly number[] {
  const shape = checkpointShape(weight);
  if (shape.length === 0 && got.join() === '1') return got;
  return rows ? [rows.of, ...shape.slice(1)] : shape;
}

function chooseConfig(
  source: string,
  cfg: PlainValue,
  architecture: string | undefined,
  shape: (name: string) => readonly number[] | undefined,
  notes: string[],
): CocaConfig {
  if (architecture !== undefined) {
    if (!Object.hasOwn(COCA_ARCHITECTURES, architecture))
      throw new UsageError(
        'unknown-architecture',
        `'${architecture}' is no known architecture; known are ${Object.keys(COCA_ARCHITECTURES).join(', ')}`,
      );
    if (isOpenClipConfig(cfg))
      notes.push(`the configuration beside the weights was not used: ${architecture} was asked for`);
    return importConfig(COCA_ARCHITECTURES[architecture]);
  }
  if (isOpenClipConfig(cfg)) return importConfig(cfg);
  const fits = Object.entries(COCA_ARCHITECTURES).find(([, settings]) => {
    return weightsWithSources(importConfig(settings)).every(({weight, from}) =>
      from.some((one) => shape(one.name)?.join() === sourceShape(weight, one, shape(one.name) ?? []).join()),
    );
  });
  if (!fits)
    throw new WeightsError(
      'no-config',
      `${source}: there is no configuration with it, and its tensors are not those of ${Object.keys(COCA_ARCHITECTURES).join(', ')}.`,
      {
        hint: 'Put open_clip_config.json beside the weights, or name the architecture with --arch.',
      },
    );
  notes.push(`no configuration was found with these weights: their shapes are those of ${fits[0]}`);
  return importConfig(fits[1]);
}

/**
 * Position vectors of other sizes are resampled, as open_clip does; undefined where there is nothing to do, or nothing
 * sensible.
 */
function adapted(
  weight: StoredWeight,
  got: readonly number[],
  config: CocaConfig,
  notes: string[],
): ImportedWeight['adapt'] {
  const [rows, size] = got as [number, number];
  const wanted = weight.shape[0]!;
  if (
    (weight.name !== GRID && weight.name !== ROWS) ||
    got.length !== 2 ||
    rows === wanted ||
    size !== weight.shape[1] ||
    rows < 2
  )
    return undefined;
  if (weight.name === ROWS) {
    notes.push(`positions of ${rows - 1} tokens resampled to ${wanted - 1}`);
    return (values) => resizeRows(values, rows, wanted, size);
  }
  const [from, to] = [Math.round(Math.sqrt(rows - 1)), patchGrid(config)];
  if (from ** 2 + 1 !== rows) return undefined;
  notes.push(`positions of a ${from} × ${from} grid of patches resampled to ${to} × ${to}`);
  return (values) => resizeGrid(values, from, to, size);
}
