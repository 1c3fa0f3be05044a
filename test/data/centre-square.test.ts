import fc from 'fast-check';
import {centreSquare, resizeBicubic} from '../support/data/resize.js';
import type {RgbImage} from '../../src/data/image.js';

/** Red counts columns, green rows. */
function ramp(width: number, height: number): RgbImage {
  const data = Uint8Array.from(
    {length: width * height * 3},
    (_, i) => [Math.floor(i / 3) % width, Math.floor(i / 3 / width), 0][i % 3]!,
  );
  return {width, height, data};
}

test('centreSquare: rounds offsets that are halves to even', () => {
  // 3, 5, 7, 9 columns too many: 1.5 → 2, 2.5 → 2, 3.5 → 4, 4.5 → 4.
  expect([7, 9, 11, 13].map((width) => centreSquare(ramp(width, 4), 4).data[0])).toEqual([2, 2, 4, 4]);
  expect([7, 9, 11, 13].map((height) => centreSquare(ramp(4, height), 4).data[1])).toEqual([2, 2, 4, 4]);
});

test('centreSquare: returns a picture of the right size itself', () => {
  const image = ramp(5, 5);
  expect(centreSquare(image, 5)).toBe(image);
});

test('centreSquare: a flat picture of any shape becomes a flat square', () => {
  const side = fc.integer({min: 1, max: 60});
  fc.assert(
    fc.property(side, side, fc.integer({min: 1, max: 40}), (width, height, size) => {
      const {data} = centreSquare({width, height, data: new Uint8Array(width * height * 3).fill(77)}, size);
      expect(data.length).toBe(size * size * 3);
      expect(data.every((v) => v === 77)).toBe(true);
    }),
  );
});

test('centreSquare: refuses nonsense', () => {
  expect(() => centreSquare(ramp(2, 2), 0)).toThrow(expect.objectContaining({code: 'image-size'}));
  expect(() => centreSquare({...ramp(2, 2), data: new Uint8Array(3)}, 2)).toThrow(
    expect.objectContaining({code: 'image-size'}),
  );
});

test('centreSquare: does not compute what it cuts off: one row of a million pixels', () => {
  expect(centreSquare({width: 1_000_000, height: 1, data: new Uint8Array(3_000_000).fill(9)}, 224)).toEqual({
    width: 224,
    height: 224,
    data: new Uint8Array(224 * 224 * 3).fill(9),
  });
});

test('resizeBicubic: a window is that part of the whole', () => {
  const side = fc.integer({min: 1, max: 40});
  fc.assert(
    fc.property(side, side, side, side, fc.nat(), fc.nat(), (w, h, width, height, a, b) => {
      const image = ramp(w, h);
      const [left, top] = [a % width, b % height];
      const window = {left, top, width: width - left, height: height - top};
      const whole = resizeBicubic(image, width, height);
      const expected = Array.from({length: window.height}, (_, y) => {
        const from = ((top + y) * width + left) * 3;
        return [...whole.data.subarray(from, from + window.width * 3)];
      }).flat();
      expect([...resizeBicubic(image, width, height, window).data]).toEqual(expected);
    }),
  );
});
