import * as tf from '@tensorflow/tfjs';
import {centreSquare} from '../../../src/data/centre-square.js';
import {type RgbImage, toPixels} from '../../../src/data/image.js';
import {CLIP_MEAN, CLIP_STD} from '../../../src/models/coca/config.js';
import {finishByTurns} from '../../../src/runtime/steps.js';
import {KeptPictures, type PixelConfig} from '../../../src/node/training/kept-pictures.js';
import {seededRandom} from '../../../src/runtime/random.js';
import {drawCrop, WHOLE_PICTURE} from '../../../src/training/coca/crop.js';
import {onBackends} from '../../support/backends.js';

const SIDE = 16;
const CONFIG = {vision: {image_size: SIDE}, image_mean: CLIP_MEAN, image_std: CLIP_STD} as unknown as PixelConfig;
const example = (key: string) => ({key, captions: []});

function picture(width: number, height: number, seed: number): RgbImage {
  const random = seededRandom(seed);
  return {width, height, data: Uint8Array.from({length: 3 * width * height}, () => random.below(256))};
}

onBackends('kept pictures', () => {
  test('a picture that is not cropped is that which the model is shown; kept or not makes no difference', async () => {
    const pictures = [picture(20, 16, 1), picture(16, 31, 2), picture(16, 16, 3)];
    const [kept, read] = [new KeptPictures(CONFIG), new KeptPictures(CONFIG, 4 * SIDE * SIDE)];
    let decoded = 0;
    for (const [i, each] of pictures.entries()) {
      await kept.add(String(i), () => Promise.resolve(each));
      await read.add(String(i), () => {
        decoded++;
        return Promise.resolve(each);
      });
    }
    expect(decoded).toBe(1);
    const squares = await Promise.all(pictures.map((each) => finishByTurns(centreSquare(each, SIDE), undefined)));
    const want = squares.flatMap((square) => [...toPixels(square, CLIP_MEAN, CLIP_STD)]);
    const examples = ['0', '1', '2'].map(example);
    const crops = pictures.map(() => WHOLE_PICTURE);
    for (const those of [kept, read]) {
      const pixels = await those.pixels(examples, crops);
      const got = await pixels.data();
      pixels.dispose();
      expect(Math.max(...want.map((value, i) => Math.abs(value - got[i]!)))).toBeLessThan(1e-6 * 4);
    }
    expect(decoded).toBe(3);
  });

  test('a crop is a part of the picture, made as large again', async () => {
    const kept = new KeptPictures(CONFIG);
    // Brightness rises from left to right.
    const data = Uint8Array.from({length: 3 * SIDE * SIDE}, (_, i) => 10 * (Math.floor(i / 3) % SIDE));
    await kept.add('ramp', () => Promise.resolve({width: SIDE, height: SIDE, data}));
    const half = {top: 0, left: 0.5, bottom: 1, right: 1};
    const pixels = await kept.pixels([example('ramp')], [half]);
    const red = tf.tidy(() =>
      pixels
        .mul(tf.tensor1d([...CLIP_STD]))
        .add(tf.tensor1d([...CLIP_MEAN]))
        .mul(255)
        .slice([0, 3, 0, 0], [1, 1, -1, 1]),
    );
    const values = [...(await red.data())];
    tf.dispose([pixels, red]);
    expect(values[0]).toBeCloseTo(75, 2);
    expect(values.at(-1)).toBeCloseTo(150, 2);
    expect(values.every((value, i) => i === 0 || value > values[i - 1]!)).toBe(true);
  });
});

test('drawCrop: keeps the share of the area, and stays inside', () => {
  const random = seededRandom(3);
  const crops = Array.from({length: 200}, () => drawCrop(random, 0.9));
  for (const {top, left, bottom, right} of crops) {
    expect(Math.min(top, left)).toBeGreaterThanOrEqual(0);
    expect(Math.max(bottom, right)).toBeLessThanOrEqual(1);
    const [height, width] = [bottom - top, right - left];
    expect(height * width).toBeGreaterThanOrEqual(0.9 - 1e-9);
    expect(width / height).toBeGreaterThan(0.75);
    expect(width / height).toBeLessThan(4 / 3);
  }
  expect(new Set(crops).size).toBeGreaterThan(150);
});
