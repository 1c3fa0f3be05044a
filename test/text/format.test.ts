import {
  csvLine,
  giga,
  orDash,
  percent,
  shortPercent,
  signedPoints,
  significant,
  tableLine,
} from '../../src/text/format.js';

test('percent: fixed decimals; shortPercent: significant digits without trailing zeros', () => {
  expect([percent(0.12345), percent(0.5, 0), percent(1)]).toEqual(['12.35 %', '50 %', '100.00 %']);
  expect([shortPercent(0.05), shortPercent(0.123456), shortPercent(0.95, 6)]).toEqual(['5 %', '12.35 %', '95 %']);
});

test('signedPoints: percentage points with a sign, zero counts as a gain', () => {
  expect([signedPoints(0.0123), signedPoints(-0.0123), signedPoints(0)]).toEqual(['+1.23', '−1.23', '+0.00']);
});

test('giga and significant: no more digits than asked for', () => {
  expect([giga(1.5e9), giga(123456789, 3)]).toEqual(['1.50', '0.123']);
  expect([significant(0.12, 5), significant(1234.567, 5), significant(2, 3)]).toEqual(['0.12', '1234.6', '2']);
});

test('orDash: a dash for what is unknown or no number', () => {
  expect([null, undefined, Number.NaN, Infinity].map((x) => orDash(x, String))).toEqual(['–', '–', '–', '–']);
  expect(orDash(0, (x) => percent(x, 1))).toBe('0.0 %');
});

test('tableLine: pads all cells but those beyond the widths', () => {
  expect(tableLine(['ab', 'c', 'last'], [4, 3])).toBe('ab    c    last');
  expect(tableLine(['wider than its column', 'x'], [4])).toBe('wider than its column  x');
});

test('csvLine: cells joined by commas, ended by a newline', () => {
  expect(csvLine(['a', '', '1'])).toBe('a,,1\n');
});
