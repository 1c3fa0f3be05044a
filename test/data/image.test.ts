import {createHash} from 'node:crypto';
import fc from 'fast-check';
import {type RgbImage, resizeBicubic as resizeBicubicSteps, toPixels} from '../../src/data/image.js';
import {resizeBicubic} from '../support/data/resize.js';
import {golden} from '../support/golden/golden.js';

const info = golden<{images: Record<string, {size: [number, number]; sizes: Record<string, {sha256_rgb: string}>}>}>(
  'images.json',
).images;
const arrays = golden('images.safetensors');
const names = Object.keys(info);

function decoded(name: string): RgbImage {
  const [width, height] = info[name]!.size;
  return {width, height, data: arrays[`decoded.${name}`]!.data as Uint8Array};
}

describe.each(names)('resizeBicubic, %s', (name) => {
  test.each(Object.keys(info[name]!.sizes))('equals Pillow at %s²', (size) => {
    const {data, width, height} = resizeBicubic(decoded(name), Number(size), Number(size));
    expect([width, height]).toEqual([Number(size), Number(size)]);
    const expected = arrays[`resized${size}.${name}`];
    if (expected !== undefined) expect(Buffer.compare(data, expected.data as Uint8Array)).toBe(0);
    expect(createHash('sha256').update(data).digest('hex')).toBe(info[name]!.sizes[size]!.sha256_rgb);
  });
});

test('toPixels: equals the normalised pixels of torchvision', () => {
  const key = Object.keys(arrays).find((name) => name.startsWith('normalised64.'))!;
  const expected = arrays[key]!;
  const pixels = toPixels(resizeBicubic(decoded(key.replace('normalised64.', '')), 64, 64));
  // The golden is [3, h, w], float32.
  const channelsLast = Float32Array.from(pixels, (_, i) =>
    Number(expected.data[(i % 3) * 64 * 64 + Math.floor(i / 3)]),
  );
  expect(pixels).toEqual(channelsLast);
});

test('resizeBicubic: a flat picture stays flat at any size, also at the extremes of the bytes', () => {
  fc.assert(
    fc.property(
      fc.record({
        w: fc.integer({min: 1, max: 70}),
        h: fc.integer({min: 1, max: 70}),
        value: fc.constantFrom(0, 1, 127, 254, 255),
      }),
      fc.integer({min: 1, max: 90}),
      fc.integer({min: 1, max: 90}),
      ({w, h, value}, width, height) => {
        const {data} = resizeBicubic({width: w, height: h, data: new Uint8Array(w * h * 3).fill(value)}, width, height);
        expect(data.length).toBe(width * height * 3);
        expect(data.every((v) => v === value)).toBe(true);
      },
    ),
  );
});

test('resizeBicubic: black and white stripes cannot overflow the accumulators', () => {
  fc.assert(
    fc.property(
      fc.integer({min: 2, max: 300}),
      fc.integer({min: 1, max: 300}),
      fc.integer({min: 1, max: 7}),
      (from, to, period) => {
        const row = Uint8Array.from({length: from * 3}, (_, i) => (Math.floor(i / 3 / period) % 2 ? 255 : 0));
        const {data} = resizeBicubic({width: from, height: 1, data: row}, to, 1);
        const far = Array.from({length: to}, (_, i) => Math.abs(data[i * 3]! - reference(row, from, to, i)));
        expect(Math.max(...far)).toBeLessThanOrEqual(1);
      },
    ),
  );
});

/** A value of the resized row, as a sum in float64 that is rounded once. */
function reference(row: Uint8Array, from: number, to: number, i: number): number {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const centre = (i + 0.5) * scale;
  const first = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
  const last = Math.min(from, Math.trunc(centre + 2 * stretch + 0.5));
  let sum = 0;
  let total = 0;
  for (let j = first; j < last; j++) {
    const x = Math.abs((j - centre + 0.5) / stretch);
    const k = x < 1 ? 1.5 * x ** 3 - 2.5 * x ** 2 + 1 : x < 2 ? -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2 : 0;
    sum += k * row[j * 3]!;
    total += k;
  }
  return Math.max(0, Math.min(255, Math.round(sum / total)));
}

test('resizeBicubic: a large picture takes many steps, a small one a single step', () => {
  const steps = (width: number, height: number): number =>
    [...resizeBicubicSteps({width, height, data: new Uint8Array(width * height * 3)}, 64, 64)].length;
  expect(steps(3000, 2000)).toBeGreaterThan(4);
  expect(steps(100, 100)).toBe(0);
});

test('resizeBicubic: returns the picture itself at its own size, and refuses nonsense', () => {
  const image = {width: 1, height: 1, data: Uint8Array.of(1, 2, 3)};
  expect(resizeBicubic(image, 1, 1)).toBe(image);
  const refused = expect.objectContaining({code: 'image-size'});
  expect(() => resizeBicubic(image, 0, 4)).toThrow(refused);
  expect(() => resizeBicubic(image, 1.5, 4)).toThrow(refused);
  expect(() => resizeBicubic(image, 100_000, 100_000)).toThrow(refused);
  expect(() => resizeBicubic({...image, data: new Uint8Array(4)}, 2, 2)).toThrow(refused);
});
