import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../exit/policy.js';
import {UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import {PAD} from './config.js';
import type {OfaEncoded} from './encode.js';
import type {OfaModel} from './model.js';
import {largest} from '../../runtime/extremes.js';

// B rows of targets (one an image), T positions, N target tokens that are not padding, V words

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
export interface LayerLoss {
  readonly loss: number;
  /** Without smoothing. */
  readonly nllLoss: number;
  /** Tokens that count. */
  readonly tokens: number;
}

export interface TaskLoss {
  /** Sums over layers, not means: a gradient step divides by `sampleSize`. */
  readonly loss: number;
  readonly nllLoss: number;
  /** Tokens of the last layer alone. */
  readonly sampleSize: number;
  /** From the first layer that counts to the last. */
  readonly perLayer: readonly LayerLoss[];
}

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
  {labelSmoothing = 0, dropWorst = 0, layers = 'every'}: LossOptions = {},
): Promise<TaskLoss> {
  using scope = new TensorScope();
  const {inputs, targets, confidences} = checked(batch, encoded);
  // Padded targets may have no allowed word at all: they leave before the softmax.
  const at = targets.flatMap((ids, row) =>
    ids.flatMap((target, position) => (target === PAD ? [] : [{row, position, target}])),
  );
  const allowed = batch.allowed && at.map(({row, position}) => batch.allowed![row]![position]!);
  const entropy = scope.hold(new CrossEntropy(at, model.vocabularySize, allowed, labelSmoothing));
  const weights = at.map(({row}) => confidences?.[row] ?? 1);
  const perLayer: LayerLoss[] = [];
  const measure: ExitPolicy = {
    name: 'loss',
    observe: async (_before, _after, {layer, depth}, logits) => {
      if (layers === 'every' || layer === depth)
        perLayer.push(summed(await entropy.tokens(logits()), weights, dropWorst));
      return {exit: false};
    },
  };
  const pass = model.targetPass(encoded, largest(inputs.map((row) => row.length)), scope);
  const {x, passes} = await model.scoring.run(pass, inputs, measure, {
    logits: (state) => model.scoring.logits(state, at),
  });
  for (const last of [x, passes[0]!.logits]) if (last) scope.hold(last);
  const total = (of: (layer: LayerLoss) => number): number => perLayer.reduce((sum, layer) => sum + of(layer), 0);
  return {loss: total((l) => l.loss), nllLoss: total((l) => l.nllLoss), sampleSize: perLayer.at(-1)!.tokens, perLayer};
}

function checked(batch: LossBatch, {images}: OfaEncoded): LossBatch {
  const {inputs, targets, allowed, confidences} = batch;
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
  return batch;
}

interface TokenLosses {
  readonly loss: Float32Array;
  readonly nll: Float32Array;
}

/** Label-smoothed cross entropy of N tokens, the same for every layer. Owns its tensors. */
class CrossEntropy implements Disposable {
  readonly #scope = new TensorScope();
  /** Place of each token's target in logits taken as one list, [N]. */
  readonly #target: tf.Tensor1D;
  /** 1 where a word is allowed, [N, V]. */
  readonly #allowed: tf.Tensor2D | undefined;
  /** Weights of the two terms, [N]. */
  readonly #sharp: tf.Tensor1D;
  readonly #smooth: tf.Tensor1D;

  constructor(
    at: readonly {target: number}[],
    words: number,
    allowed: readonly (readonly number[])[] | undefined,
    epsilon: number,
  ) {
    this.#target = this.#scope.hold(
      tf.tensor1d(
        at.map(({target}, i) => i * words + target),
        'int32',
      ),
    );
    if (allowed) {
      const flags = new Float32Array(at.length * words);
      for (const [i, ids] of allowed.entries()) for (const id of ids) flags[i * words + id] = 1;
      this.#allowed = this.#scope.hold(tf.tensor2d(flags, [at.length, words]));
    }
    const each = at.map((_, i) => epsilon / (allowed ? allowed[i]!.length - 1 + ONE_ALLOWED : words - 1));
    this.#sharp = this.#scope.hold(tf.tensor1d(each.map((e) => 1 - epsilon - e)));
    this.#smooth = this.#scope.hold(tf.tensor1d(each));
  }

  /** @param logits [N, V], borrowed */
  async tokens(logits: tf.Tensor2D): Promise<TokenLosses> {
    using scope = new TensorScope();
    const {loss, nll} = tf.tidy(() => {
      const allowed = this.#allowed;
      const log = tf.logSoftmax(allowed ? logits.add(allowed.sub(1).mul(1e9)) : logits);
      const negative = tf.gather(log.flatten(), this.#target).neg();
      const all = tf.sum(allowed ? log.mul(allowed) : log, 1).neg();
      return {nll: negative, loss: negative.mul(this.#sharp).add(all.mul(this.#smooth))};
    });
    scope.hold(loss);
    scope.hold(nll);
    return {loss: (await loss.data()) as Float32Array, nll: (await nll.data()) as Float32Array};
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

/** Sums over the tokens that are kept: those with the smallest loss. */
function summed({loss, nll}: TokenLosses, weights: readonly number[], dropWorst: number): LayerLoss {
  const weighted = Array.from(loss, (l, i) => ({loss: l * weights[i]!, nll: nll[i]! * weights[i]!}));
  const kept =
    dropWorst > 0
      ? weighted.sort((a, b) => a.loss - b.loss).slice(0, Math.trunc(weighted.length * (1 - dropWorst)))
      : weighted;
  return {
    loss: kept.reduce((sum, token) => sum + token.loss, 0),
    nllLoss: kept.reduce((sum, token) => sum + token.nll, 0),
    tokens: kept.length,
  };
}
