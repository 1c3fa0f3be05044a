import {createHash} from 'node:crypto';
import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage, StackName} from '../../exit/policy.js';
import type {SkippedKv} from '../../exit/skipped-kv-cache.js';
import type {ImageRun} from '../../exit/trace.js';
import type {
  EncodeInput,
  ImageStates,
  RunOptions,
  Scored,
  ScoreInput,
  VisionLanguageModel,
} from '../../models/model.js';
import type {OfaDecoding} from '../../models/ofa/decode.js';
import {OfaEncoded} from '../../models/ofa/encode.js';
import type {OfaModel} from '../../models/ofa/model.js';
import type {ExitAdapters} from '../../nn/exit-adapters.js';

/** Above this many bytes nothing more is remembered. */
const MOST_BYTES = 1e9;

interface Remembered {
  readonly states: tf.Tensor3D;
  readonly positions: tf.Tensor3D;
  readonly mask: tf.Tensor4D | undefined;
  readonly lengths: readonly number[];
  readonly runs: readonly ImageRun[];
}

/** The values of a remembered encoding: plain numbers, which no backend owns. */
interface Values {
  readonly arrays: Readonly<
    Partial<Record<'states' | 'positions' | 'mask', readonly [Float32Array, readonly number[]]>>
  >;
  readonly lengths: readonly number[];
  readonly runs: readonly ImageRun[];
}

/**
 * A model whose encoder is frozen and never exits: what it gave for the same pixels and prompts is what it gives. So a
 * validation costs the encoder once. Borrows the model; disposing it frees nothing of that.
 */
export class RememberedEncoder implements VisionLanguageModel {
  readonly #known = new Map<string, Values>();
  #bytes = 0;

  constructor(private readonly model: OfaModel) {}

  get stacks(): Readonly<Partial<Record<StackName, number>>> {
    return this.model.stacks;
  }

  get vocabularySize(): number {
    return this.model.vocabularySize;
  }

  get stateSize(): number {
    return this.model.stateSize;
  }

  /** @param policy never leaves an encoder's stack */
  async encode(input: EncodeInput, policy: PolicyPerImage, options?: RunOptions): Promise<OfaEncoded> {
    const pixels = await input.pixels.data();
    const key = createHash('sha256')
      .update(JSON.stringify([input.pixels.shape, input.prompts, input.patchMasks ?? null]))
      .update(new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength))
      .digest('hex');
    const known = this.#known.get(key);
    if (known) return restored(known);
    const encoded = await this.model.encode(input, policy, options);
    if (this.#bytes < MOST_BYTES) {
      const values = await valuesOf(encoded);
      this.#known.set(key, values);
      for (const array of Object.values(values.arrays)) this.#bytes += array[0].byteLength;
    }
    return encoded;
  }

  startDecoding(
    encoded: OfaEncoded,
    rows: number,
    maxSteps: number,
    skipped: SkippedKv,
    adapters?: ExitAdapters,
  ): OfaDecoding {
    return this.model.startDecoding(encoded, rows, maxSteps, skipped, adapters);
  }

  logits(x: tf.Tensor2D, ids?: readonly number[]): tf.Tensor2D {
    return this.model.logits(x, ids);
  }

  imageStates(pixels: tf.Tensor4D, options?: RunOptions): Promise<ImageStates> {
    return this.model.imageStates(pixels, options);
  }

  score(encoded: OfaEncoded, input: ScoreInput, policy: PolicyPerImage, options?: RunOptions): Promise<Scored> {
    return this.model.score(encoded, input, policy, options);
  }

  [Symbol.dispose](): void {
    this.#known.clear();
  }
}

async function valuesOf({states, positions, mask, lengths, runs}: Remembered): Promise<Values> {
  const read = async (x: tf.Tensor) => [Float32Array.from(await x.data()), x.shape] as const;
  return {
    arrays: {states: await read(states), positions: await read(positions), ...(mask && {mask: await read(mask)})},
    lengths,
    runs,
  };
}

function restored({arrays, lengths, runs}: Values): OfaEncoded {
  const made = <T extends tf.Tensor>(name: 'states' | 'positions' | 'mask'): T | undefined =>
    arrays[name] && (tf.tensor(arrays[name][0].slice(), [...arrays[name][1]]) as T);
  return new OfaEncoded(
    made<tf.Tensor3D>('states')!,
    made<tf.Tensor3D>('positions')!,
    made<tf.Tensor4D>('mask'),
    lengths,
    runs,
  );
}
