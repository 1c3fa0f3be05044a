import * as tf from '@tensorflow/tfjs';
import {centreSquare} from '../../data/centre-square.js';
import type {RgbImage} from '../../data/image.js';
import type {CocaConfig} from '../../models/coca/config.js';
import type {CocaExample} from '../../training/coca/objective.js';
import {finishByTurns} from '../../runtime/steps.js';
import {type CropBox, cropped} from '../../training/coca/crop.js';

/** Above this many bytes, pictures are decoded each time that they are learnt from. */
const MOST_BYTES = 4e9;

/** What pixels of a model are made like. */
export type PixelConfig = Pick<CocaConfig, 'vision' | 'image_mean' | 'image_std'>;

/**
 * Pictures of a training, by the keys of their examples: squares of the model's size, while there is room. A pixel is one
 * number of 24 bits, which float32 holds exactly: a third of what three of them would send to a device.
 */
export class KeptPictures {
  readonly #readers = new Map<string, () => Promise<RgbImage>>();
  /** [h · w] each. */
  readonly #squares = new Map<string, Float32Array>();

  constructor(
    private readonly config: PixelConfig,
    private readonly mostBytes = MOST_BYTES,
  ) {}

  /**
   * Takes a picture in. It is decoded at once where it can be kept, so that one that cannot be read is known.
   * @param read   decodes it
   * @throws InputError if it cannot be read
   */
  async add(key: string, read: () => Promise<RgbImage>): Promise<void> {
    const bytes = 4 * this.#pixels;
    if ((this.#squares.size + 1) * bytes <= this.mostBytes) this.#squares.set(key, await this.#square(read));
    else this.#readers.set(key, read);
  }

  /** Of a square. */
  get #pixels(): number {
    return this.config.vision.image_size ** 2;
  }

  async #square(read: () => Promise<RgbImage>): Promise<Float32Array> {
    const {data} = await finishByTurns(centreSquare(await read(), this.config.vision.image_size), undefined);
    return Float32Array.from(
      {length: this.#pixels},
      (_, i) => data[3 * i]! + 256 * data[3 * i + 1]! + 65536 * data[3 * i + 2]!,
    );
  }

  /**
   * Crops, normalised as the model takes them.
   * @returns [B, h, w, 3], the caller's
   * @throws InputError for a picture that was not kept, and cannot be read now
   */
  async pixels(examples: readonly CocaExample[], crops: readonly CropBox[]): Promise<tf.Tensor4D> {
    const {vision, image_mean, image_std} = this.config;
    const {image_size: side} = vision;
    const values = new Float32Array(examples.length * this.#pixels);
    for (const [i, {key}] of examples.entries())
      values.set(this.#squares.get(key) ?? (await this.#square(this.#readers.get(key)!)), i * this.#pixels);
    return tf.tidy(() => {
      const packed = tf.tensor3d(values, [examples.length, side, side]);
      const blue = packed.div(65536).floor();
      const rest = packed.sub(blue.mul(65536));
      const green = rest.div(256).floor();
      const pictures = tf.stack([rest.sub(green.mul(256)), green, blue], 3) as tf.Tensor4D;
      const mean = tf.tensor1d(image_mean.map((m) => 255 * m));
      const std = tf.tensor1d(image_std.map((s) => 255 * s));
      return cropped(pictures, crops).sub(mean).div(std) as tf.Tensor4D;
    });
  }
}
