import * as tf from '@tensorflow/tfjs';
import {gatherRows} from '../../nn/gather-rows.js';
import {
  checkArguments,
  COUNT,
  fields,
  FUNCTION,
  type Kind,
  LIST,
  listOf,
  OBJECT,
} from '../../runtime/check-arguments.js';
import {TENSOR} from '../../runtime/check-tensors.js';
import {UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import {PAD} from './config.js';
import type {OfaEncoded} from './encode.js';
import type {OfaModel} from './model.js';

// B rows of targets (one an image), T positions, N target tokens that are not padding, W words that have logits (all V,
// or those that are allowed somewhere), D width

/** The release keeps ε/(n − 1) finite where only one word is allowed; there log 1 = 0 makes the term vanish. */
const ONE_ALLOWED = 1e-6;

/** Targets of a batch, one row an image, right-padded. */
export interface LossBatch {
  /** Token ids that the decoder is fed, [B][T]. */
  readonly inputs: readonly (readonly number[])[];
  /** Token ids that should come next, [B][T]; padding is not scored. */
  readonly targets: readonly (readonly number[])[];
  /** Ids that are allowed at each position, [B][T]; all words if left out. */
  readonly allowed?: readonly (readonly (readonly number[])[])[];
  /** Weight of each row; 1 if left out. */
  readonly confidences?: readonly number[];
}

export interface LossOptions {
  /** ε of the label smoothing; 0 none. */
  readonly labelSmoothing?: number;
  /** Share of the tokens with the largest loss that is left out, in every layer for itself; 0 none. */
  readonly dropWorst?: number;
  /** `every`: after each decoder layer, through the same norm and head (MuE's training); `last`: plain OFA's. */
  readonly layers?: 'every' | 'last';
}

/** Sums over the tokens of one layer. */
export interface LayerLoss<T = number> {
  readonly loss: T;
  /** Without smoothing. */
  readonly nllLoss: T;
  /** Tokens that count. */
  readonly tokens: number;
}

export interface TaskLoss<T = number> {
  /** Sums over layers, not means: a gradient step divides by `sampleSize`. */
  readonly loss: T;
  readonly nllLoss: T;
  /** Tokens of the last layer alone. */
  readonly sampleSize: number;
  /** From the first layer that counts to the last. */
  readonly perLayer: readonly LayerLoss<T>[];
}

const BATCH: Kind = fields({inputs: listOf(LIST), targets: listOf(LIST)});

/**
 * Value of the task loss of a batch: label-smoothed cross entropy, summed over tokens and over decoder layers
 * (docs/reference/ofa-mue.md 10.8). Every layer runs.
 * @param encoded   one image a row, encoded without exits; borrowed
 * @throws UsageError where the rows of the batch do not fit each other
 */
export async function taskLoss(
  model: OfaModel,
  encoded: OfaEncoded,
  batch: LossBatch,
  options: LossOptions = {},
): Promise<TaskLoss> {
  checkArguments('taskLoss', {
    model: [model, fields({everyState: FUNCTION})],
    encoded: [encoded, fields({images: COUNT})],
    batch: [batch, BATCH],
    options: [options, OBJECT],
  });
  checkBatch(batch, encoded.images);
  using scope = new TensorScope();
  let tokens: readonly number[] = [];
  const sums = tf.tidy(() => {
    const {perLayer} = taskLosses(model, model.everyState(encoded, batch.inputs), batch, options);
    tokens = perLayer.map((layer) => layer.tokens);
    return tf.stack(perLayer.flatMap(({loss, nllLoss}) => [loss, nllLoss]));
  });
  const values = await scope.hold(sums).data();
  const perLayer = tokens.map((count, i) => ({loss: values[2 * i]!, nllLoss: values[2 * i + 1]!, tokens: count}));
  const total = (of: (layer: LayerLoss) => number): number => perLayer.reduce((sum, layer) => sum + of(layer), 0);
  return {loss: total((l) => l.loss), nllLoss: total((l) => l.nllLoss), sampleSize: tokens.at(-1)!, perLayer};
}

/**
 * The same as tensors, on the tape of whoever takes gradients. Synchronous: call it inside a tidy.
 * @param states   after every decoder layer, [B, T, D] each; borrowed
 * @returns        scalars, the caller's
 * @throws UsageError where the rows of the batch do not fit each other
 */
export function taskLosses(
  model: Pick<OfaModel, 'logits' | 'vocabularySize'>,
  states: readonly tf.Tensor3D[],
  batch: LossBatch,
  options: LossOptions = {},
): TaskLoss<tf.Scalar> {
  checkArguments('taskLosses', {
    model: [model, fields({logits: FUNCTION, vocabularySize: COUNT})],
    states: [states, listOf(TENSOR)],
    batch: [batch, BATCH],
    options: [options, OBJECT],
  });
  checkArguments('taskLosses', {'states[0]': [states[0], TENSOR]});
  const {labelSmoothing = 0, dropWorst = 0, layers = 'every'} = options;
  const [rows, length, size] = states[0]!.shape;
  checkBatch(batch, rows);
  // Padded targets may have no allowed word at all: they leave before the softmax.
  const at = batch.targets.flatMap((ids, row) =>
    ids.flatMap((target, position) => (target === PAD ? [] : [{row, position, target}])),
  );
  const allowed = batch.allowed && at.map(({row, position}) => batch.allowed![row]![position]!);
  // The logits of words that are allowed nowhere change nothing.
  const ids = allowed && [...new Set([...allowed.flat(), ...at.map(({target}) => target)])].sort((a, b) => a - b);
  const entropy = crossEntropy(at, ids ?? model.vocabularySize, allowed, labelSmoothing);
  const weights = batch.confidences && tf.tensor1d(at.map(({row}) => batch.confidences![row]!));
  const index = at.map(({row, position}) => row * length + position);
  const perLayer = (layers === 'every' ? states : states.slice(-1)).map((x): LayerLoss<tf.Scalar> => {
    const logits = model.logits(gatherRows(x.reshape([-1, size]) as tf.Tensor2D, index), ids);
    const {loss, nll} = entropy(logits);
    const [weighted, plain] = weights
      ? [loss.mul(weights) as tf.Tensor1D, nll.mul(weights) as tf.Tensor1D]
      : [loss, nll];
    const kept = dropWorst > 0 ? smallest(weighted, 1 - dropWorst) : undefined;
    const sum = (each: tf.Tensor1D): tf.Scalar => (kept ? gatherRows(each, kept) : each).sum();
    return {loss: sum(weighted), nllLoss: sum(plain), tokens: kept?.length ?? at.length};
  });
  const total = (of: 'loss' | 'nllLoss'): tf.Scalar =>
    perLayer.map((layer) => layer[of]).reduce((sum, each) => sum.add(each));
  return {loss: total('loss'), nllLoss: total('nllLoss'), sampleSize: perLayer.at(-1)!.tokens, perLayer};
}

function checkBatch({inputs, targets, allowed, confidences}: LossBatch, images: number): void {
  const lengths = inputs.map((row) => row.length);
  const fits = (other: readonly {readonly length: number}[] | undefined): boolean =>
    other === undefined || (other.length === inputs.length && other.every((row, i) => row.length === lengths[i]));
  if (
    inputs.length !== images ||
    !fits(targets) ||
    !fits(allowed) ||
    (confidences && confidences.length !== inputs.length)
  ) {
    throw new UsageError(
      'loss-batch',
      `a loss needs as many rows of inputs, targets, allowed words and confidences as there are pictures (${images}), each of one length`,
    );
  }
  if (!targets.some((row) => row.some((id) => id !== PAD)))
    throw new UsageError('loss-empty', 'every target is padding');
}

/**
 * Label-smoothed cross entropy of N tokens, the same for every layer.
 * @param words     the ids that have logits, ascending, or how many there are
 * @param allowed   ids that each token may be; all by default
 * @returns         of logits [N, W] the losses [N], and those without smoothing
 */
function crossEntropy(
  at: readonly {target: number}[],
  words: readonly number[] | number,
  allowed: readonly (readonly number[])[] | undefined,
  epsilon: number,
): (logits: tf.Tensor2D) => {readonly loss: tf.Tensor1D; readonly nll: tf.Tensor1D} {
  const places = typeof words === 'number' ? undefined : new Map(words.map((id, place) => [id, place]));
  const placeOf = (id: number): number => places?.get(id) ?? id;
  const count = typeof words === 'number' ? words : words.length;
  const index = at.map(({target}, i) => i * count + placeOf(target));
  const flags = allowed && new Float32Array(at.length * count);
  for (const [i, ids] of allowed?.entries() ?? []) for (const id of ids) flags![i * count + placeOf(id)] = 1;
  const mask = flags && tf.tensor2d(flags, [at.length, count]);
  const each = at.map((_, i) => epsilon / (allowed ? allowed[i]!.length - 1 + ONE_ALLOWED : count - 1));
  const sharp = tf.tensor1d(each.map((e) => 1 - epsilon - e));
  const smooth = tf.tensor1d(each);
  return (logits) => {
    const log = tf.logSoftmax(mask ? logits.add(mask.sub(1).mul(1e9)) : logits);
    const nll = gatherRows(log.flatten(), index).neg();
    if (epsilon === 0) return {loss: nll, nll};
    const all = tf.sum(mask ? log.mul(mask) : log, 1).neg();
    return {nll, loss: nll.mul(sharp).add(all.mul(smooth)) as tf.Tensor1D};
  };
}

/** Numbers of the share of elements that are smallest. Read from the values: an order has no gradient. */
function smallest(x: tf.Tensor1D, share: number): readonly number[] {
  const values = x.dataSync();
  const order = [...values.keys()].sort((a, b) => values[a]! - values[b]!);
  return order.slice(0, Math.trunc(order.length * share));
}
