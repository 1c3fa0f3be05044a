import {compareResults, formatComparison} from '../../../bench/report/compare.js';
import {result, row} from '../../support/bench-result.js';

describe('compareResults', () => {
  const before = result([
    row('clear', 10, 9, 11),
    row('within', 10, 8, 12),
    row('gone', 1),
    row('slower', 2, 1.9, 2.1),
  ]);
  const after = result([row('within', 11, 9, 13), row('clear', 5, 4, 6), row('slower', 4, 3, 5), row('new', 1)]);

  test('pairs what both measured, by name, with ratios', () => {
    const found = compareResults(before, after);
    expect(found.map(({name, ratio}) => [name, ratio])).toEqual([
      ['clear', 0.5],
      ['within', 1.1],
      ['slower', 2],
    ]);
    expect(found.map(({clear}) => clear)).toEqual([true, false, true]);
  });

  test('takes a name in another group or unit for another thing', () => {
    expect(
      compareResults(
        result([row('x', 1)]),
        result([row('x', 1, 1, 1, {unit: 's'}), row('x', 1, 1, 1, {group: 'layer'})]),
      ),
    ).toEqual([]);
  });

  test('marks differences within the spread, not clear ones', () => {
    const lines = formatComparison(compareResults(before, after)).split('\n');
    expect(lines.find((line) => line.includes('within'))).toContain('≈ 1.10');
    expect(lines.find((line) => line.includes('clear'))).toMatch(/[^≈] +0\.50$/);
  });
});
