import {writingStack} from '../exit/stacks.js';
import {type AdapterKind, type ExitAdapter, type ExitAdapterConfig, ExitAdapters} from '../nn/exit-adapters.js';
import {checkArguments, COUNT, fields, OBJECT, oneOf, ROWS} from '../runtime/check-arguments.js';
import {InputError, UsageError} from '../runtime/errors.js';
import {seededRandom} from '../runtime/random.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import {binomialCdf} from '../statistics/binomial.js';
import type {VisionLanguagePipeline} from '../tasks/pipeline.js';
import {type CollectOptions, collectStates} from './collect-states.js';
import {
  type FitData,
  fitAdapter,
  type FitOptions,
  type FitRates,
  type Fitted,
  type Look,
  look,
  type Looked,
  type Measures,
} from './fit-adapter.js';
import {ADAPTER_TASKS, type AdapterTask, type TrainingRow} from './rows.js';
import {countPositions, type ExitStates, MemoryStates} from './states.js';
import {likelyWords, type Teacher, teacherOf} from './teacher.js';
import {smallest} from '../runtime/extremes.js';

// L layers, N scored positions

/** The part of a pipeline that adapters are trained with; borrowed. */
export type Trainable = Pick<VisionLanguagePipeline, 'entailmentTokens'> & {
  readonly model: Pick<VisionLanguagePipeline['model'], 'logits' | 'stacks' | 'vocabularySize'>;
};

export interface AdapterOptions extends FitOptions {
  /** `bottleneck` by default. */
  readonly kind?: AdapterKind;
  /** Numbers that a bottleneck goes through; 32 by default for entailment, 64 for captions. */
  readonly width?: number;
  /** Learn from the rows' own labels as well as from the last layer; false by default: none are needed. */
  readonly labels?: boolean;
  /**
   * Share of the pictures that is held out: they end the training, and decide what is kept. 0.2 by default. Where these
   * are few, every picture is held out once, and the adapters are trained again on all of them.
   */
  readonly heldOut?: number;
  /** Called while a layer is trained. */
  readonly onLook?: (progress: {readonly layer: number; readonly step: number; readonly heldOut: Measures}) => void;
}

/** One layer on the held-out positions. */
export interface LayerReport {
  /** Layers run, from 1. */
  readonly layer: number;
  readonly before: Measures;
  readonly after: Measures;
  /** Positions where only the adapted state has the last layer's answer, and where only the bare one has it. */
  readonly gained: number;
  readonly lost: number;
  /** Probability of so many gains by chance (one-sided sign test). */
  readonly pValue: number;
  /** Whether it helps: fewer nats from the last layer, and gains beyond chance. Others are not kept. */
  readonly kept: boolean;
  /** Updates. */
  readonly steps: number;
}

export interface AdapterReport {
  readonly task: AdapterTask;
  readonly stack: string;
  readonly kind: AdapterKind;
  readonly width: number;
  readonly seed: number;
  readonly labels: boolean;
  /** Scored positions, and those of them that the figures of the layers are of. */
  readonly positions: number;
  readonly heldOut: number;
  /** Words or answers that distributions were compared over. */
  readonly classes: number;
  /** Every layer but the last. */
  readonly layers: readonly LayerReport[];
  /** The last layer on the held-out positions. */
  readonly full: Measures;
}

export interface TrainedAdapters {
  /** The caller's; undefined where no layer has an adapter that helps: the model was trained to exit. */
  readonly adapters: ExitAdapters | undefined;
  readonly report: AdapterReport;
}

/** Settings of the training that depend on the task. */
interface TaskSettings extends FitRates {
  readonly width: number;
}

/** Entailment has one position a row: it learns from fewer, and over-fits sooner. */
const DEFAULTS: Readonly<Record<AdapterTask, TaskSettings>> = {
  'snli-ve': {learningRate: 1e-3, decay: 5, steps: 400, width: 32},
  caption: {learningRate: 3e-3, decay: 1, steps: 1200, width: 64},
};

/** The probability that chance is trusted with: an adapter whose gains are likelier by chance is not kept. */
const LEVEL = 0.05;

/**
 * Runs a model over rows and trains an exit adapter for each layer, which learns to say what the last layer says. The
 * model itself is not changed, and neither is any answer at full depth.
 * @param pipeline   borrowed; exit adapters that it has already are not used
 * @param rows       a picture each, and for entailment a hypothesis; labels only with `labels`
 * @throws           InputError for too few rows, or one that cannot be used and that no `onBadRow` hears of; UsageError
 *   for an option that cannot be; AbortError
 */
export async function trainExitAdapters(
  pipeline: VisionLanguagePipeline,
  task: AdapterTask,
  rows: AsyncIterable<TrainingRow>,
  options: AdapterOptions & CollectOptions = {},
): Promise<TrainedAdapters> {
  checkArguments('trainExitAdapters', {
    pipeline: [pipeline, fields({model: fields({stacks: OBJECT, stateSize: COUNT})})],
    task: [task, oneOf(ADAPTER_TASKS)],
    rows: [rows, ROWS],
    options: [options, OBJECT],
  });
  checkAdapterOptions(task, options);
  const {stacks, stateSize} = pipeline.model;
  const states = new MemoryStates(stacks[writingStack(stacks)]!, stateSize);
  await collectStates(pipeline, task, rows, states, options);
  return await adaptersFromStates(pipeline, task, states, options);
}

/** Trains exit adapters on states that `collectStates` kept. Parameters and errors as of `trainExitAdapters`. */
export async function adaptersFromStates(
  pipeline: Trainable,
  task: AdapterTask,
  states: ExitStates,
  options: AdapterOptions = {},
): Promise<TrainedAdapters> {
  using scope = new TensorScope();
  const {kind = 'bottleneck', seed = 0, labels: useLabels = false, signal, onLook} = options;
  const settings = checkAdapterOptions(task, options);
  const width = kind === 'bottleneck' ? settings.width : 0;
  const {model} = pipeline;
  const {layers: depth, size} = states;
  const folds = foldsByPicture(states, options.heldOut ?? 0.2, seed);
  const classes = await compareOver(pipeline, task, states, signal);
  const teacher = await teacherOf(model, states.read(depth), size, classes, signal);
  const common = {teacher, labels: classLabels(states, task, teacher), useLabels};
  const kept = new Map<number, ReadonlyMap<string, Float32Array>>();
  const layers: LayerReport[] = [];
  for (let layer = 1; layer < depth; layer++) {
    const data = {...common, states: states.read(layer)};
    const fitted = await fitLayer(model, {size, kind, width}, data, folds, {...options, ...settings}, (looked) =>
      onLook?.({layer, step: looked.step, heldOut: looked}),
    );
    scope.hold(fitted.adapter);
    const report = layerReport(layer, fitted);
    layers.push(report);
    if (report.kept) kept.set(layer, weightsOf(fitted.adapter));
  }
  const heldOut = folds.flatMap((fold) => fold.heldOut);
  const full = await look(model, undefined, {...common, states: states.read(depth)}, heldOut, signal);
  const report: AdapterReport = {
    task,
    stack: writingStack(model.stacks),
    kind,
    width,
    seed,
    labels: useLabels,
    positions: countPositions(states.groups),
    heldOut: heldOut.length,
    classes: teacher.classes,
    layers,
    full: measures(full),
  };
  if (kept.size === 0) return {adapters: undefined, report};
  const adapters = new ExitAdapters({size, kind, width, layers: [...kept.keys()]});
  const values = new Map(
    [...kept].flatMap(([layer, weights]) => [...weights].map(([name, value]) => [`layers.${layer}.${name}`, value])),
  );
  const shapes = new Map(adapters.storedWeights().map(({name, shape}) => [name, shape]));
  await adapters.load({
    names: () => [...values.keys()],
    shape: (name) => shapes.get(name),
    read: (name) => Promise.resolve(values.get(name)!),
  });
  return {adapters, report};
}

/**
 * Every layer on states of other rows, without and with adapters: the last layer included, which has none.
 * @param adapters borrowed
 */
export async function measureDepths(
  pipeline: Trainable,
  task: AdapterTask,
  states: ExitStates,
  adapters: ExitAdapters | undefined,
  signal?: AbortSignal,
): Promise<readonly {readonly layer: number; readonly before: Measures; readonly after: Measures}[]> {
  const {model} = pipeline;
  const {layers: depth, size} = states;
  const classes = await compareOver(pipeline, task, states, signal);
  const teacher = await teacherOf(model, states.read(depth), size, classes, signal);
  const labels = classLabels(states, task, teacher);
  const rows = Array.from({length: countPositions(states.groups)}, (_, i) => i);
  const found: {layer: number; before: Measures; after: Measures}[] = [];
  for (let layer = 1; layer <= depth; layer++) {
    const data = {teacher, labels, states: states.read(layer)};
    const before = measures(await look(model, undefined, data, rows, signal));
    const adapter = adapters?.at(layer);
    const after = adapter ? measures(await look(model, adapter, data, rows, signal)) : before;
    found.push({layer, before, after});
  }
  return found;
}

/**
 * Checks options before any work is done.
 * @returns what is used, of the options or by default
 * @throws UsageError `option-invalid`
 */
export function checkAdapterOptions(
  task: AdapterTask,
  {batch = 256, heldOut = 0.2, ...given}: AdapterOptions,
): TaskSettings {
  const usual = DEFAULTS[task];
  const {learningRate = usual.learningRate, decay = usual.decay, steps = usual.steps, width = usual.width} = given;
  for (const [name, value] of Object.entries({width, steps, batch}))
    if (!Number.isSafeInteger(value) || value < 1 || value > 2 ** 20)
      throw new UsageError('option-invalid', `${name} must be a whole number from 1, not ${value}`);
  if (!(learningRate > 0 && learningRate <= 1))
    throw new UsageError('option-invalid', `learningRate must be above 0 and at most 1, not ${learningRate}`);
  if (!(decay >= 0 && decay * learningRate < 1))
    throw new UsageError('option-invalid', `decay must be from 0 and below 1 / learningRate, not ${decay}`);
  if (!(heldOut > 0 && heldOut < 1))
    throw new UsageError('option-invalid', `heldOut must be above 0 and below 1, not ${heldOut}`);
  return {learningRate, decay, steps, width};
}

/** Token ids that distributions are compared over; undefined for the whole vocabulary. */
async function compareOver(
  pipeline: Trainable,
  task: AdapterTask,
  states: ExitStates,
  signal: AbortSignal | undefined,
): Promise<readonly number[] | undefined> {
  return answerIds(pipeline, task) ?? (await likelyWords(pipeline.model, states, signal));
}

/**
 * Token ids of the answers of entailment; undefined for captions, which may be any words.
 * @throws InputError `answers-long`
 */
export function answerIds(pipeline: Trainable, task: AdapterTask): readonly number[] | undefined {
  if (task === 'caption') return undefined;
  // They are the same for any hypothesis.
  const {answers} = pipeline.entailmentTokens('yes');
  if (answers.every((answer) => answer.length === 1)) return answers.map(([token]) => token!);
  throw new InputError(
    'answers-long',
    "this vocabulary splits the answers 'no', 'yes', 'maybe'; their states are not one",
  );
}

/** The right class at each position; −1 where it is not known, or no class. */
function classLabels({groups}: ExitStates, task: AdapterTask, {ids}: Teacher): Int32Array {
  const labels = groups.flatMap((group) => group.labels);
  // Labels of entailment are numbers of answers already.
  if (task === 'snli-ve' || !ids) return Int32Array.from(labels);
  const classes = new Map(ids.map((id, number) => [id, number]));
  return Int32Array.from(labels, (token) => classes.get(token) ?? -1);
}

/** Positions to learn from, and those of the other pictures. */
interface Fold {
  readonly train: readonly number[];
  readonly heldOut: readonly number[];
}

/** Held-out positions that are enough to decide by; where there are fewer, every picture is held out once. */
const ENOUGH_HELD_OUT = 500;

/**
 * One fold, or several that hold every picture out once. Positions of one picture are never on both sides.
 * @throws InputError for fewer than two pictures
 */
function foldsByPicture({groups}: ExitStates, share: number, seed: number): readonly Fold[] {
  const images = [...new Set(groups.map(({imageId}) => imageId))];
  if (images.length < 2)
    throw new InputError('data-small', `adapters need rows of at least two pictures, but there are ${images.length}`);
  const order = seededRandom(seed).shuffle(Uint32Array.from(images.keys()));
  const parts = Math.min(images.length, Math.max(2, Math.round(1 / share)));
  const partOf = new Map(Array.from(order, (image, place) => [images[image]!, place % parts]));
  const places = groups.flatMap(({imageId, labels}) => labels.map(() => partOf.get(imageId)!));
  const fold = (part: number): Fold => {
    const positions = [...places.keys()];
    return {
      train: positions.filter((position) => places[position] !== part),
      heldOut: positions.filter((position) => places[position] === part),
    };
  };
  const first = fold(0);
  if (first.heldOut.length >= ENOUGH_HELD_OUT) return [first];
  return [first, ...Array.from({length: parts - 1}, (_, i) => fold(i + 1))];
}

/** An adapter, and how a layer does without and with it at the held-out positions of all folds. */
interface FittedLayer {
  /** The caller's. */
  readonly adapter: ExitAdapter;
  readonly before: Looked;
  readonly after: Looked;
  /** Updates. */
  readonly steps: number;
}

/** Trains one layer on each fold, and, where there are several, on all positions for as long as was best for them. */
async function fitLayer(
  model: Trainable['model'],
  config: ExitAdapterConfig,
  data: Omit<FitData, 'train' | 'heldOut'>,
  folds: readonly Fold[],
  options: FitOptions & FitRates,
  onLook: (look: Look) => void,
): Promise<FittedLayer> {
  using scope = new TensorScope();
  const fits: Fitted[] = [];
  for (const fold of folds) {
    const fitted = await fitAdapter(model, config, {...data, ...fold}, options, {onLook});
    scope.hold(fitted.adapter);
    fits.push(fitted);
  }
  const common = smallest(fits.map(({looks}) => looks.length));
  const pooled = Array.from({length: common}, (_, i) => pool(fits.map(({looks}) => looks[i]!)));
  const best = pooled.reduce((a, b) => (b.divergence < a.divergence ? b : a));
  const found = {before: pooled[0]!, after: best, steps: best.step};
  if (fits.length === 1) return {...found, adapter: scope.give(fits[0]!.adapter)};
  const train = [...data.labels.keys()];
  const {adapter} = await fitAdapter(model, config, {...data, train, heldOut: []}, options, {until: best.step});
  return {...found, adapter};
}

/** Looks at the positions of several folds after as many updates as one. */
function pool(looks: readonly Look[]): Look {
  const agrees = looks.flatMap((look) => look.agrees);
  const known = looks.reduce((sum, look) => sum + look.known, 0);
  const mean = (of: (look: Look) => number): number =>
    looks.reduce((sum, look) => sum + of(look) * look.agrees.length, 0) / Math.max(1, agrees.length);
  const right = looks.reduce((sum, look) => sum + (look.accuracy ?? 0) * look.known, 0);
  return {
    step: looks[0]!.step,
    agrees,
    known,
    divergence: mean(({divergence}) => divergence),
    agreement: mean(({agreement}) => agreement),
    accuracy: known > 0 ? right / known : undefined,
  };
}

/** Values of an adapter's weights by their names. */
function weightsOf(adapter: ExitAdapter): ReadonlyMap<string, Float32Array> {
  return new Map(
    adapter.storedWeights().map(({name}, i) => [name, adapter.trainableWeights[i]!.read().dataSync() as Float32Array]),
  );
}

function layerReport(layer: number, fitted: FittedLayer): LayerReport {
  const [bare, adapted] = [fitted.before.agrees, fitted.after.agrees];
  const [before, after] = [measures(fitted.before), measures(fitted.after)];
  const gained = adapted.filter((right, i) => right && !bare[i]).length;
  const lost = bare.filter((right, i) => right && !adapted[i]).length;
  const pValue = 1 - binomialCdf(gained - 1, gained + lost, 0.5);
  const kept = after.divergence < before.divergence && pValue <= LEVEL;
  return {layer, before, after, gained, lost, pValue, kept, steps: fitted.steps};
}

function measures({divergence, agreement, accuracy}: Measures): Measures {
  return {divergence, agreement, accuracy};
}
