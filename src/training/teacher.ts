import * as tf from '@tensorflow/tfjs';
import type {VisionLanguageModel} from '../models/model.js';
import {throwIfAborted} from '../runtime/errors.js';
import {yieldToEventLoop} from '../runtime/yield.js';
import type {ExitStates} from './states.js';

// N scored positions, D width, V vocabulary, C classes: the token ids that distributions are compared over

/** Most logits of one pass. */
const MOST_LOGITS = 2 ** 22;
/** A vocabulary up to this size is compared as a whole; of a larger one the likeliest words. */
const MOST_WORDS = 4096;
/** Positions that are looked at for these. */
const MOST_LOOKED_AT = 1024;

/** What the last layer says at N positions. */
export interface Teacher {
  /** C token ids; undefined for the whole vocabulary. */
  readonly ids: readonly number[] | undefined;
  /** C */
  readonly classes: number;
  /** [N, C], each row a distribution. */
  readonly probabilities: Float32Array;
  /** Number of the likeliest class, [N]. */
  readonly answers: Int32Array;
}

type Head = Pick<VisionLanguageModel, 'logits' | 'vocabularySize'>;

/**
 * The distributions that early layers are to learn.
 * @param states   after the last layer, [N, D]
 * @param size     D
 * @param ids      classes; all words by default
 * @throws         AbortError
 */
export async function teacherOf(
  model: Head,
  states: Float32Array,
  size: number,
  ids: readonly number[] | undefined,
  signal?: AbortSignal,
): Promise<Teacher> {
  const classes = ids?.length ?? model.vocabularySize;
  const probabilities = new Float32Array((states.length / size) * classes);
  await eachChunk(model, states, size, ids, signal, (rows, first) => probabilities.set(rows, first * classes));
  const answers = Int32Array.from({length: states.length / size}, (_, i) =>
    indexOfLargest(probabilities.subarray(i * classes, (i + 1) * classes)),
  );
  return {ids, classes, probabilities, answers};
}

/**
 * The words that some layer finds likely: what the last one says, and what early ones are to unlearn.
 * @returns token ids, ascending; undefined for a vocabulary that is small enough to be compared as a whole
 * @throws AbortError
 */
export async function likelyWords(
  model: Head,
  states: ExitStates,
  signal: AbortSignal | undefined,
): Promise<readonly number[] | undefined> {
  const words = model.vocabularySize;
  if (words <= MOST_WORDS) return undefined;
  const {size, layers} = states;
  const mass = new Float64Array(words);
  for (let layer = 1; layer <= layers; layer++) {
    const all = states.read(layer);
    const stride = Math.ceil(all.length / size / MOST_LOOKED_AT);
    const count = Math.ceil(all.length / size / stride);
    const some = new Float32Array(count * size);
    for (let i = 0; i < count; i++) some.set(all.subarray(i * stride * size, (i * stride + 1) * size), i * size);
    await eachChunk(model, some, size, undefined, signal, (rows) => {
      for (let i = 0; i < rows.length; i++) mass[i % words]! += rows[i]!;
    });
  }
  return [...mass.keys()]
    .sort((a, b) => mass[b]! - mass[a]!)
    .slice(0, MOST_WORDS)
    .sort((a, b) => a - b);
}

/** Softmax over the classes at all positions, some at a time. @param take gets rows [n, C], and which is the first */
async function eachChunk(
  model: Head,
  states: Float32Array,
  size: number,
  ids: readonly number[] | undefined,
  signal: AbortSignal | undefined,
  take: (rows: Float32Array, first: number) => void,
): Promise<void> {
  const count = states.length / size;
  const most = Math.max(1, Math.floor(MOST_LOGITS / (ids?.length ?? model.vocabularySize)));
  for (let first = 0; first < count; first += most) {
    await yieldToEventLoop(signal);
    const rows = Math.min(most, count - first);
    const softmax = tf.tidy(() =>
      tf.softmax(model.logits(tf.tensor2d(states.subarray(first * size, (first + rows) * size), [rows, size]), ids)),
    );
    try {
      take((await softmax.data()) as Float32Array, first);
    } finally {
      softmax.dispose();
    }
  }
  throwIfAborted(signal);
}

/** The first of equals. */
export function indexOfLargest(values: ArrayLike<number>): number {
  let found = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[found]!) found = i;
  return found;
}
