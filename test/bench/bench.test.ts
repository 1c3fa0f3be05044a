import {type Bench, type Flags, together} from '../../bench/bench.js';
import type {SelectedBackend} from '../../src/node/backends/select.js';
import {row} from '../support/bench-result.js';

test('together: runs benches in turn, with common options, and its own where their defaults differ', async () => {
  const seen: (readonly [string, Partial<Flags>])[] = [];
  const bench = (name: string, options: Bench['options']): Bench => ({
    name,
    about: '',
    options,
    run: async ({rounds, seconds}) => {
      seen.push([name, {rounds, seconds}]);
      return [row(name, 1)];
    },
  });
  const all = together('all', '', [
    bench('a', {rounds: 24, seconds: 3}),
    bench('b', {rounds: 5}),
    bench('c', {pictures: 2}),
  ]);
  expect(Object.entries(all.options)).toEqual([
    ['rounds', 24],
    ['seconds', 3],
    ['pictures', 2],
  ]);
  const rows = await all.run({rounds: 7, seconds: 1} as Flags, {} as SelectedBackend);
  expect(rows.map(({name}) => name)).toEqual(['a', 'b', 'c']);
  expect(seen).toEqual([
    ['a', {rounds: 7, seconds: 1}],
    ['b', {rounds: 5, seconds: 1}],
    ['c', {rounds: 7, seconds: 1}],
  ]);
});
