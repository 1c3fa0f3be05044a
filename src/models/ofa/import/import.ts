import type {Checkpoint, PlainValue} from '../../../checkpoint/checkpoint.js';
import {toFloat32} from '../../../checkpoint/dtype.js';
import {WeightsError} from '../../../runtime/errors.js';
import {plainNames} from '../../plain-names.js';
import {checkComplete, checkpointShape, checkTensors, type ImportedWeight, type ModelImport} from '../../weights.js';
import type {StoredWeight} from '../../../nn/block.js';
import type {OfaConfig} from '../config.js';
import {ofaWeights} from '../model.js';
import {importConfig, type NamedShapes} from './config.js';
import {fusedNames, ignoredReason, TIED_COPIES, TIED_EMBEDDING, toFairseqName} from './names.js';
import {OfaSettings} from './settings.js';

/** How a checkpoint becomes a model. */
export type OfaImport = ModelImport<OfaConfig>;

/**
 * Names without which a checkpoint is not OFA's; half of them must be there for anything else to be a meaningful
 * complaint.
 */
const SIGNATURE = [
  'encoder.embed_tokens.weight',
  'encoder.embed_images.conv1.weight',
  'encoder.image_proj.weight',
  'encoder.token_rel_pos_table_list.0.weight',
  'decoder.self_pos_q_linear.weight',
  'decoder.cross_pos_q_linear.weight',
];

/**
 * Compares a checkpoint with the model that its configuration asks for.
 * @param cfg the settings that belong to it, if the checkpoint itself holds none: a Hugging Face `config.json`, for
 *   one.
 * @throws WeightsError if it is another model's, asks for something unsupported, or lacks weights, has unknown ones or
 *   ones of other shapes: all of them in one message.
 */
export function importOfa(checkpoint: Checkpoint, cfg: PlainValue = checkpoint.cfg): OfaImport {
  const sources = findSources(checkpoint);
  const tied = [TIED_EMBEDDING, ...TIED_COPIES].find((name) => sources.has(name));
  if (tied && !sources.has(TIED_EMBEDDING)) sources.set(TIED_EMBEDDING, sources.get(tied)!);
  const shapes: NamedShapes = {
    names: [...sources.keys()],
    shape: (name) => {
      const source = sources.get(name);
      if (source === undefined) return undefined;
      const {shape} = checkpoint.entry(source.name);
      return source.rows ? [source.rows.count, ...shape.slice(1)] : shape;
    },
  };
  const notes: string[] = [];
  const settings = OfaSettings.from(cfg);
  const config = importConfig(settings, shapes, notes);
  const wanted = ofaWeights(config);
  const ignored = checkNames(checkpoint, sources, wanted);
  checkShapes(checkpoint, sources, wanted);
  const weights = wanted.map((weight): ImportedWeight => {
    const source = sources.get(weight.name);
    if (source === undefined) return {...weight, source: null, dtype: 'F32'};
    const {name, rows} = source;
    return {...weight, source: name, dtype: checkpoint.entry(name).dtype, ...(rows ? {rows} : {})};
  });
  for (const path of checkpoint.placeholders)
    notes.push(`the file names the class ${path}: kept as data, never called`);
  return {config, weights, ignored, notes, vocabularyFolder: settings.text('bpe_dir')};
}

/** A tensor of the file that a weight is, or is one of the row-thirds of. */
type Source = Pick<ImportedWeight, 'rows'> & {readonly name: string};
/** The tensors of a file by fairseq's names. */
type Sources = Map<string, Source>;

/** Whether at least half of the names that tell OFA from other models are there. */
function hasSignature(names: readonly string[]): boolean {
  const known = new Set(names);
  return 2 * SIGNATURE.filter((name) => known.has(name)).length >= SIGNATURE.length;
}

/** Whether names are those of an OFA, with or without a prefix that all share. */
export function isOfa(names: readonly string[]): boolean {
  return plainNames(names, hasSignature) !== undefined;
}

/**
 * The tensors of a checkpoint by fairseq's names, whatever they are called there.
 * @throws WeightsError `other-model`; `damaged-checkpoint` for two tensors of one weight
 */
function findSources(checkpoint: Checkpoint): Sources {
  const plain = plainNames(checkpoint.names(), hasSignature);
  if (plain === undefined) throw otherModel(checkpoint);
  const sources: Sources = new Map();
  const add = (name: string, source: Source): void => {
    const other = sources.get(name);
    if (other !== undefined)
      throw new WeightsError(
        'damaged-checkpoint',
        `${checkpoint.source}: '${other.name}' and '${source.name}' are two names for the same weight.`,
      );
    sources.set(name, source);
  };
  for (const [name, source] of plain) {
    const fairseq = toFairseqName(name);
    const fused = fusedNames(fairseq);
    const rows = checkpoint.entry(source).shape[0] ?? 0;
    if (fused === undefined || rows % 3 !== 0) add(fairseq, {name: source});
    else
      for (const [i, part] of fused.entries())
        add(part, {name: source, rows: {first: (i * rows) / 3, count: rows / 3, of: rows}});
  }
  return sources;
}

function otherModel(checkpoint: Checkpoint): WeightsError {
  const names = checkpoint.names();
  const guess = names.some((name) => name.startsWith('visual.') || name.startsWith('text_decoder.'))
    ? ' It looks like an OpenCLIP model that is no whole CoCa.'
    : names.some((name) => /^(bert|roberta|gpt|transformer|shared|model|vision_model|text_model)\b/.test(name))
      ? ' It looks like another Transformer.'
      : '';
  return new WeightsError(
    'other-model',
    `${checkpoint.source}: not an OFA model: its ${names.length} tensors begin with ${
      names
        .slice(0, 3)
        .map((n) => `'${n.slice(0, 80)}'`)
        .join(', ') || 'nothing'
    }, ` + `and '${SIGNATURE.find((name) => !names.includes(name))}' is not among them.${guess}`,
    {
      hint: 'Only checkpoints of OFA (fairseq .pt, or Hugging Face-style folders) and of CoCa (open_clip) can be converted.',
    },
  );
}

/**
 * @returns   what is ignored, with the reason
 * @throws    WeightsError listing what is missing and what nobody asked for
 */
function checkNames(checkpoint: Checkpoint, sources: Sources, wanted: readonly StoredWeight[]): OfaImport['ignored'] {
  const names = new Set(wanted.map(({name}) => name));
  const missing = wanted.filter(({name, neutral}) => neutral === undefined && !sources.has(name)).map(({name}) => name);
  const ignored: {name: string; reason: string}[] = [];
  const unknown: string[] = [];
  for (const [name, {name: source}] of sources) {
    if (names.has(name)) continue;
    const reason = ignoredReason(name);
    if (reason === null) unknown.push(source);
    else ignored.push({name: source, reason});
  }
  checkComplete(checkpoint.source, missing, unknown);
  return ignored;
}

function checkShapes(checkpoint: Checkpoint, sources: Sources, wanted: readonly StoredWeight[]): void {
  const tied = wanted.find(({name}) => name === TIED_EMBEDDING)!;
  const expected = [...wanted, ...TIED_COPIES.map((name) => ({...tied, name}))].flatMap(
    (weight): [string, readonly number[]][] => {
      const source = sources.get(weight.name);
      if (source === undefined) return [];
      const shape = checkpointShape(weight);
      return [[source.name, source.rows ? [source.rows.of, ...shape.slice(1)] : shape]];
    },
  );
  checkTensors(checkpoint, new Map(expected));
}

/**
 * Makes sure that the copies of the tied matrix in the checkpoint are copies; copies that share its storage need no
 * reading.
 * @throws WeightsError if one differs: the model would then have two matrices where this implementation has one.
 */
export async function checkTied(checkpoint: Checkpoint, values: Float32Array): Promise<void> {
  const sources = findSources(checkpoint);
  const tied = [TIED_EMBEDDING, ...TIED_COPIES].flatMap((name) => sources.get(name)?.name ?? []);
  for (const copy of tied.slice(1)) {
    if (checkpoint.sameStorage(tied[0]!, copy)) continue;
    const other = toFloat32(await checkpoint.read(copy));
    let at = 0;
    while (at < other.length && other[at] === values[at]) at++;
    if (at < other.length)
      throw new WeightsError(
        'untied-embedding',
        `${checkpoint.source}: '${copy}' should equal '${tied[0]}', but element ${at} is ${other[at]} instead of ${values[at]}; only tied embeddings are supported.`,
      );
  }
}
