import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

// What the commands that write docs/results have in common.

export const root = fileURLToPath(new URL('../..', import.meta.url));
const main = path.join(root, 'dist/cli/main.js');

/** One command of the package. @returns what it printed, which is shown as well */
export function mue(args, {ok = [0]} = {}) {
  const shown = args.map((arg) => (path.isAbsolute(arg) ? path.relative(root, arg) : arg));
  console.error(`\n$ mue ${shown.join(' ')}`);
  const {status, stdout} = spawnSync(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  process.stderr.write(stdout);
  if (!ok.includes(status)) throw new Error(`mue ${args[0]} ended with ${status}`);
  return stdout;
}

export const readJson = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));

/** The rows of a data set of `data/scenes`. */
export function scenes(name) {
  const lines = fs
    .readFileSync(path.join(root, 'data/scenes', name), 'utf8')
    .trim()
    .split('\n');
  return lines.map(JSON.parse);
}

/** Bytes of a row's picture. */
export const pictureOf = (row) => fs.readFileSync(path.join(root, 'data/scenes', row.image));

export const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

/**
 * Milliseconds of processor time of several ways to do the same, by turns: each item once by every way, in an order
 * that moves on from item to item. On one thread that is what a clock says on a machine that does nothing else. The
 * first two items warm up.
 * @param ways  by name: does one item; `full` is what the others are compared with
 * @returns     by name: the median, and the median of the ratios to `full`
 */
export async function byTurns(items, ways) {
  const names = Object.keys(ways);
  const ms = Object.fromEntries(names.map((name) => [name, []]));
  for (const [i, item] of items.entries())
    for (const k of names.keys()) {
      const name = names[(i + k) % names.length];
      const before = process.cpuUsage();
      await ways[name](item);
      const {user, system} = process.cpuUsage(before);
      if (i >= 2) ms[name].push((user + system) / 1000);
    }
  return Object.fromEntries(
    names.map((name) => [name, {ms: median(ms[name]), share: median(ms[name].map((x, i) => x / ms.full[i]))}]),
  );
}
