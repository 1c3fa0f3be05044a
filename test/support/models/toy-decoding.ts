import * as tf from '@tensorflow/tfjs';
import type {Decoding} from '../../../src/models/model.js';
import {prefillByStep} from '../../../src/models/prefill.js';
import {seededRandom} from '../../../src/runtime/random.js';

/** The scores of a toy language: any numbers, the same for the same picture and text. */
export function toyScores(picture: number, tokens: readonly number[], vocabulary: number): Float32Array {
  const random = seededRandom(tokens.reduce((seed, token) => Math.imul(seed, 31) + token + 7, picture + 1));
  return Float32Array.from({length: vocabulary}, () => (random.next() - 0.5) * 8);
}

/** A decoding of the toy language, which keeps what each row was fed as a cache does. */
export function toyDecoding(
  pictures: number,
  beams: number,
  vocabulary: number,
): Decoding & {readonly steps: readonly number[]} {
  let rows = Array.from({length: pictures * beams}, (_, r) => ({
    picture: Math.floor(r / beams),
    tokens: [] as readonly number[],
  }));
  const steps: number[] = [];
  const decoding: Decoding & {readonly steps: readonly number[]} = {
    steps,
    macs: [],
    step(tokens) {
      if (tokens.length !== rows.length) throw new Error(`${tokens.length} tokens for ${rows.length} rows`);
      steps.push(rows.length);
      rows = rows.map((row, r) => ({...row, tokens: [...row.tokens, tokens[r]!]}));
      const logits = rows.flatMap((row) => [...toyScores(row.picture, row.tokens, vocabulary)]);
      const traces = [...new Set(rows.map(({picture}) => picture))].map(() => []);
      return Promise.resolve({logits: tf.tensor2d(logits, [rows.length, vocabulary]), traces});
    },
    prefill: (prompts, policy, options = {}) => prefillByStep(decoding, prompts, policy, options),
    reorder(from) {
      rows = from.map((r) => rows[r]!);
    },
    [Symbol.dispose]() {},
  };
  return decoding;
}
