import fc from 'fast-check';
import {binomialCdf} from '../../src/statistics/binomial.js';
import {itemsNeeded, riskPValue} from '../../src/statistics/hoeffding-bentkus.js';
import {UsageError} from '../../src/runtime/errors.js';

// docs/reference/early-exit.md B4.
test.each([
  [0, 100, 0.05, 0.00592053],
  [0.02, 500, 0.05, 0.00125043],
  [0.005, 1000, 0.01, 0.179786],
  [0.03, 2000, 0.04, 0.0288701],
  [0.006, 5000, 0.01, 0.0041513],
  [0, 300, 0.01, 0.0490409],
])('riskPValue: Hoeffding-Bentkus of R̂ = %d, n = %d, α = %d', (risk, n, alpha, p) => {
  expect(Math.abs(riskPValue(risk, n, alpha) - p)).toBeLessThanOrEqual(1e-6);
});

test('binomialCdf: equals exact rational arithmetic', () => {
  // p = a / 64: all terms are integers over 64 ** n.
  const exact = (k: number, n: number, a: number): number => {
    let choose = 1n;
    let sum = 0n;
    for (let j = 0; j <= k; j++) {
      sum += choose * BigInt(a) ** BigInt(j) * BigInt(64 - a) ** BigInt(n - j);
      choose = (choose * BigInt(n - j)) / BigInt(j + 1);
    }
    const bits = 6n * BigInt(n);
    // Sixty digits of the quotient, as far as a double goes.
    const shifted = (sum << 80n) >> bits;
    return shifted > 2n ** 40n ? Number(shifted) / 2 ** 80 : Number((sum << 1000n) >> bits) / 2 ** 1000;
  };
  fc.assert(
    fc.property(fc.integer({min: 1, max: 150}), fc.nat(), fc.integer({min: 1, max: 63}), (n, pick, a) => {
      const k = pick % n;
      const wanted = exact(k, n, a);
      expect(Math.abs(binomialCdf(k, n, a / 64) - wanted)).toBeLessThanOrEqual(1e-12 * wanted + 1e-300);
    }),
  );
});

// SciPy 1.x, binom.cdf.
const BINOMIAL: readonly (readonly [number, number, number, number])[] = [
  [0, 100000, 0.0001, 4.537723395896114e-5],
  [900, 100000, 0.01, 0.0006608413334501454],
  [1000, 100000, 0.01, 0.508409473351433],
  [1100, 100000, 0.01, 0.9991790300893386],
  [49000, 100000, 0.5, 1.2943580191734472e-10],
  [50500, 100000, 0.5, 0.9992258201845774],
  [3, 897, 0.01, 0.021225644896105712],
  [20, 1500, 0.02, 0.03394691769909468],
  [1, 1000000, 1e-5, 0.0004993787977178492],
  [30000, 100000, 0.35, 4.031903012530108e-247],
  [99990, 100000, 0.9999, 0.5420765413843014],
];
test.each(BINOMIAL)('binomialCdf: %d of %d at %d, as SciPy has it', (k, n, p, wanted) => {
  expect(Math.abs(binomialCdf(k, n, p) / wanted - 1)).toBeLessThanOrEqual(1e-9);
});

test('riskPValue: lies in [0, 1], grows with the risk, falls with the bound; the binomial is the sharpest', () => {
  fc.assert(
    fc.property(
      fc.integer({min: 1, max: 2000}),
      fc.nat(),
      fc.double({min: 0.001, max: 0.5, noNaN: true}),
      (n, pick, alpha) => {
        const errors = pick % n;
        for (const kind of ['hoeffding-bentkus', 'hoeffding', 'binomial'] as const) {
          const p = riskPValue(errors / n, n, alpha, kind);
          expect(p >= 0 && p <= 1).toBe(true);
          expect(riskPValue((errors + 1) / n, n, alpha, kind)).toBeGreaterThanOrEqual(p - 1e-12);
          expect(riskPValue(errors / n, n, Math.min(0.999, alpha * 1.1), kind)).toBeLessThanOrEqual(p + 1e-12);
        }
        expect(riskPValue(errors / n, n, alpha, 'binomial')).toBeLessThanOrEqual(
          riskPValue(errors / n, n, alpha) + 1e-12,
        );
      },
    ),
  );
});

test('itemsNeeded: about the sizes of docs/reference/early-exit.md B4, and the smallest that is enough', () => {
  expect(itemsNeeded(0.01, 0.05, 0)).toBe(299);
  expect(itemsNeeded(0.01, 0.05, 0.01)).toBe(Number.POSITIVE_INFINITY);
  for (const [alpha, risk, about] of [
    [0.01, 0.002, 630],
    [0.01, 0.005, 1770],
    [0.02, 0.01, 890],
    [0.04, 0.03, 1850],
  ] as const) {
    const n = itemsNeeded(alpha, 0.05, risk);
    // The sizes of docs/reference/early-exit.md B4 are approximate: the p-value jumps where n·R̂ passes a whole number
    // of errors.
    expect(Math.abs(n / about - 1)).toBeLessThan(0.1);
    expect(riskPValue(risk, n, alpha)).toBeLessThanOrEqual(0.05);
    expect(riskPValue(risk, n - 1, alpha)).toBeGreaterThan(0.05);
  }
});

test('riskPValue and itemsNeeded: refuse bounds and risks that make no sense', () => {
  expect(() => riskPValue(0, 10, 0)).toThrow(UsageError);
  expect(() => riskPValue(1.2, 10, 0.1)).toThrow('losses must lie in [0, 1]');
  expect(() => itemsNeeded(0.1, 1, 0)).toThrow(UsageError);
  expect(riskPValue(0, 0, 0.1)).toBe(1);
});
