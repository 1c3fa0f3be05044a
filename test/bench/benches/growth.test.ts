import {growthChart, growthExponents} from '../../../bench/benches/growth.js';
import {result, row} from '../../support/bench-result.js';

describe('growth', () => {
  const sweep = (group: string, e: number) =>
    [1, 2, 4].flatMap((x) => [
      row(String(x), 3 * x ** e, 1, 9, {group, macs: 7 * x}),
      row(String(x), 5 * x ** (e / 2), 1, 9, {group, unit: 'MiB', macs: 7 * x}),
    ]);

  test('growthExponents: time and memory by what grew', () => {
    const [sides, beams] = growthExponents([...sweep('image side', 1), ...sweep('beams', 2)]);
    expect([sides?.time, sides?.memory, beams?.time, beams?.memory].map((x) => Math.round(1e6 * x!) / 1e6)).toEqual([
      1, 0.5, 2, 1,
    ]);
  });

  test('growthExponents: takes processor time where it is known', () => {
    const rows = sweep('beams', 1).map((r) => (r.unit === 'ms' ? {...r, cpu: r.macs! ** 2} : r));
    expect(growthExponents(rows)[0]?.time).toBeCloseTo(2, 6);
    expect(growthExponents(rows)[0]?.memory).toBeCloseTo(0.5, 6);
  });

  test('growthChart: names every sweep and the mathematics', () => {
    const svg = growthChart(result(sweep('beams', 1), {settings: {size: 'tiny'}}));
    for (const words of ['beams: time', 'beams: memory', 'as the mathematics', 'OFA-tiny'])
      expect(svg).toContain(words);
  });
});
