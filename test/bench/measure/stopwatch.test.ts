import {Stopwatch} from '../../../bench/measure/stopwatch.js';

describe('Stopwatch', () => {
  function clock(): {now: () => number; pass: (ms: number) => void} {
    let time = 0;
    return {
      now: () => time,
      pass: (ms) => {
        time += ms;
      },
    };
  }

  test('does not count in a part what the parts inside it took', async () => {
    const {now, pass} = clock();
    const watch = new Stopwatch(() => {}, now);
    const model = {
      factor: 2,
      layer(ms: number): number {
        pass(ms);
        return this.factor * ms;
      },
      async stack(): Promise<number> {
        pass(1);
        const sum = this.layer(10);
        await Promise.resolve();
        pass(2);
        return sum + this.layer(20);
      },
    };
    watch.watch(model, 'layer', 'layer');
    watch.watch(model, 'stack', 'stack');
    expect(await watch.time('rest', () => model.stack())).toBe(60);
    expect(watch.take()).toEqual({ms: {layer: 30, stack: 3, rest: 0}, counts: {layer: 2, stack: 1, rest: 1}});
    expect(watch.take()).toEqual({ms: {}, counts: {}});
  });

  test('ends a part when its result is settled', () => {
    const {now, pass} = clock();
    const watch = new Stopwatch(() => pass(5), now);
    watch.time('a', () => watch.time('b', () => pass(1)));
    expect(watch.take().ms).toEqual({b: 6, a: 5});
  });
});
