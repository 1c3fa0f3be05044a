import * as tf from '@tensorflow/tfjs';
import type {EncoderOutput} from '../models/ofa/encode.js';
import type {OfaModel} from '../models/ofa/model.js';
import {largest} from '../runtime/extremes.js';

// B rows, M_b tokens of a row's encoding without padding, M the most of them, P patches, D width

/** Encoder states of pictures with prompts, by a key each: what a frozen encoder gives again and again. */
export interface EncodingStore {
  has(key: string): boolean;
  /** @param states [M_b, D] */
  append(key: string, states: Float32Array): void;
  /** [M_b, D]; the caller's to read. */
  read(key: string): Float32Array;
}

/** Encodings in memory. */
export class MemoryEncodings implements EncodingStore {
  readonly #states = new Map<string, Float32Array>();

  has(key: string): boolean {
    return this.#states.has(key);
  }

  append(key: string, states: Float32Array): void {
    this.#states.set(key, states);
  }

  read(key: string): Float32Array {
    return this.#states.get(key)!;
  }
}

/**
 * What the decoder reads, made of kept encodings of pictures of the size that the model expects. Call it inside a tidy.
 * @param encodings   [M_b, D] each: patches, then the prompt
 * @returns           the caller's
 */
export function encoderOutput({encoder, config}: OfaModel, encodings: readonly Float32Array[]): EncoderOutput {
  const {d_model: size} = config;
  const side = Math.ceil(config.patch_image_size / 16);
  const lengths = encodings.map((states) => states.length / size);
  const most = largest(lengths);
  const padded = new Float32Array(encodings.length * most * size);
  for (const [b, states] of encodings.entries()) padded.set(states, b * most * size);
  const mask = lengths.some((length) => length < most)
    ? tf.tensor4d(
        lengths.flatMap((length) => Array.from({length: most}, (_, i) => (i < length ? 0 : -1e9))),
        [encodings.length, 1, 1, most],
      )
    : undefined;
  const positions = tf.concat([encoder.imagePositions(side, side), encoder.textPositions(most - side ** 2)], 1);
  return {states: tf.tensor3d(padded, [encodings.length, most, size]), positions, mask};
}
