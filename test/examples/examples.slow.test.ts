import {execFile} from 'node:child_process';
import {promisify} from 'node:util';

// The examples as their readers run them: plain JavaScript, on the package as it is built.
const run = async (file: string): Promise<string> =>
  (await promisify(execFile)(process.execPath, [file], {timeout: 110_000})).stdout;

test('examples/own-policy.mjs: a policy of its own leaves earlier, costs less, and leaves no tensor behind', async () => {
  const output = await run('examples/own-policy.mjs');
  const costs = [...output.matchAll(/decoder MACs (\d+) of (\d+) M/g)].map(
    ([, ran, full]) => Number(ran) / Number(full),
  );
  const [all, once, twice] = costs;
  expect(costs.length).toBe(3);
  expect(all).toBe(1);
  expect(once).toBeLessThan(twice!);
  expect(twice).toBeLessThan(1);
  expect(output).toMatch(/layers 6 6 6[\s\S]*tensors left behind: 0\n$/);
});

test('examples/caption.mjs: captions, streams and answers', async () => {
  const output = await run('examples/caption.mjs');
  expect(output).toMatch(/all layers {2}two big cupcakes in a room/);
  expect(output).toMatch(/two big cupcakes\? yes \(\d/);
});
