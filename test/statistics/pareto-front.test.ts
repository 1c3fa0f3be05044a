import fc from 'fast-check';
import {paretoFront} from '../../src/statistics/pareto-front.js';

test('paretoFront: exactly the points that nothing beats, by ascending x', () => {
  const point = fc.record({x: fc.integer({min: 0, max: 6}), y: fc.integer({min: 0, max: 6})});
  fc.assert(
    fc.property(fc.array(point, {maxLength: 15}), (points) => {
      const front = paretoFront(
        points.map(({x}) => x),
        points.map(({y}) => y),
      );
      const beaten = points.map((p) => points.some((q) => q.x <= p.x && q.y <= p.y && (q.x < p.x || q.y < p.y)));
      const best = new Set(points.flatMap(({x, y}, i) => (beaten[i] ? [] : [`${x} ${y}`])));
      expect(new Set(front.map((i) => `${points[i]!.x} ${points[i]!.y}`))).toEqual(best);
      expect(front.length).toBe(best.size);
      for (let i = 1; i < front.length; i++) expect(points[front[i]!]!.x).toBeGreaterThan(points[front[i - 1]!]!.x);
    }),
  );
});

test('paretoFront: points with NaN are never on it, and of equal points the first is', () => {
  expect(paretoFront([Number.NaN, 1, 2], [0, 1, Number.NaN])).toEqual([1]);
  expect(paretoFront([1, 1], [2, 2])).toEqual([0]);
});
