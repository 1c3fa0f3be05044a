import fc from 'fast-check';
import {bfloat16ToFloat32, fitsFloat16, float16ToFloat32, float32ToFloat16} from '../../src/checkpoint/float16.js';

const decode = (bits: number): number => float16ToFloat32(Uint16Array.of(bits))[0]!;
const encode = (value: number): number => float32ToFloat16(Float32Array.of(value))[0]!;

test('float32ToFloat16: known halves', () => {
  const known: readonly (readonly [number, number])[] = [
    [0x0000, 0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
  ];
  for (const [bits, value] of known) {
    expect(decode(bits)).toBe(value);
    expect(encode(value)).toBe(bits);
  }
  expect(Object.is(decode(0x8000), -0)).toBe(true);
  expect(decode(0x7e00)).toBeNaN();
  expect(decode(encode(Number.NaN))).toBeNaN();
});

test('float16ToFloat32, float32ToFloat16: all 65,536 halves survive the way there and back', () => {
  const all = Uint16Array.from({length: 65536}, (_, i) => i);
  const back = float32ToFloat16(float16ToFloat32(all));
  const isNaN16 = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;
  expect(all.filter((bits, i) => back[i] !== bits && !isNaN16(bits))).toEqual(new Uint16Array());
  const finite = all.filter((bits) => (bits & 0x7c00) !== 0x7c00);
  expect(fitsFloat16(float16ToFloat32(finite))).toBe(true);
});

test('float32ToFloat16: rounds to the nearest half, ties to the even one', () => {
  // Sorted finite non-negative halves are their own bits: the oracle looks for the nearest by bisection in exact
  // arithmetic.
  const nearest = (value: number): number => {
    let [low, high] = [0, 0x7c00];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (decode(middle) <= value) low = middle;
      else high = middle;
    }
    const upper = high === 0x7c00 ? 65536 : decode(high);
    const [down, up] = [value - decode(low), upper - value];
    return down < up || (down === up && low % 2 === 0) ? low : high;
  };
  fc.assert(
    fc.property(fc.float({min: 0, max: 65535, noNaN: true}), (value) => {
      expect(encode(value)).toBe(nearest(value));
      expect(encode(-value)).toBe(nearest(value) | 0x8000);
    }),
    {numRuns: 3000},
  );
  // Ties, made on purpose: the middle of every pair of neighbours in each range of exponents.
  for (let bits = 0; bits < 0x7bff; bits += 37) {
    const middle = (decode(bits) + decode(bits + 1)) / 2;
    expect(encode(middle)).toBe(bits % 2 === 0 ? bits : bits + 1);
  }
  expect(encode(65519)).toBe(0x7bff);
  expect(encode(65520)).toBe(0x7c00);
});

test('fitsFloat16: a value fits if encoding loses nothing', () => {
  fc.assert(
    fc.property(fc.float({noNaN: true, noDefaultInfinity: true}), (value) => {
      expect(fitsFloat16(Float32Array.of(value))).toBe(decode(encode(value)) === value);
    }),
    {numRuns: 2000},
  );
  expect(fitsFloat16(Float32Array.of(0.1))).toBe(false);
  expect(fitsFloat16(Float32Array.of(2 ** -25))).toBe(false);
  expect(fitsFloat16(Float32Array.of(Number.NaN))).toBe(false);
});

test('bfloat16ToFloat32: a bfloat16 is the upper half of a float32', () => {
  expect([...bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc040, 0x0000, 0x7f80))]).toEqual([
    1,
    -3,
    0,
    Number.POSITIVE_INFINITY,
  ]);
});
