import {type ChildProcess, fork} from 'node:child_process';
import {once} from 'node:events';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {z} from 'zod';
import {summarize} from '../measure/statistics.js';
import {figure, textTable} from '../report/table.js';
import {testQuestions} from './parts.js';

/** What two builds answer, and how. */
export interface BuildsOptions {
  readonly task: 'caption' | 'snli-ve';
  /** Every layer, or the exits that the model recommends. */
  readonly exits: 'never' | 'model';
  readonly turns: number;
  readonly pictures: number;
  /** Threads of the builds before and after. */
  readonly threads: readonly [number, number];
}

const passSchema = z.object({wall: z.number(), cpu: z.number(), answers: z.array(z.string())});
type Pass = z.infer<typeof passSchema>;

const CHILD = fileURLToPath(new URL('../../bench/benches/builds-child.mjs', import.meta.url));

/**
 * Runs the shipped model of two builds by turns, each in a process of its own that is warm: what else the machine does
 * meets both.
 * @param folders   of the builds, with their dist: before, after
 * @returns         a table: milliseconds a picture, and ratios after / before of the turns, median and range
 */
export async function compareBuilds(folders: readonly [string, string], options: BuildsOptions): Promise<string> {
  const {task, exits, turns, pictures, threads} = options;
  const files = testQuestions(`${task}-test.jsonl`, pictures).map(({image}) => image);
  const children: ChildProcess[] = [];
  try {
    for (const [i, folder] of folders.entries()) {
      const child = fork(CHILD, [path.resolve(folder), task, exits, String(threads[i]), ...files]);
      children.push(child);
      await message(child);
    }
    const passes: [Pass, Pass][] = [];
    for (let turn = 0; turn < turns; turn++) {
      const order = turn % 2 ? [1, 0] : [0, 1];
      const both: Pass[] = [];
      for (const i of order) both[i] = await run(children[i]!);
      passes.push(both as [Pass, Pass]);
    }
    return formatTurns(passes);
  } finally {
    for (const child of children) child.disconnect();
  }
}

async function run(child: ChildProcess): Promise<Pass> {
  child.send('pass');
  return passSchema.parse(await message(child));
}

/** The next message of a process. @throws Error if it ends first */
async function message(child: ChildProcess): Promise<unknown> {
  const waiting = new AbortController();
  const ended = once(child, 'exit', {signal: waiting.signal}).then(([code]) => {
    throw new Error(`the process of a build ended with code ${String(code)}`);
  });
  try {
    return ((await Promise.race([once(child, 'message'), ended])) as unknown[])[0];
  } finally {
    waiting.abort();
    ended.catch(() => undefined);
  }
}

/** Clock and processor time of both builds, and the ratios of the turns. @param passes before and after, by turns */
export function formatTurns(passes: readonly (readonly [Pass, Pass])[]): string {
  const lines = (['wall', 'cpu'] as const).map((clock) => {
    const [before, after] = [0, 1].map((i) => summarize(passes.map((both) => both[i]![clock])));
    const {median, p10, p90} = summarize(passes.map(([first, second]) => second[clock] / first[clock]));
    const range = `${p10.toFixed(2)} – ${p90.toFixed(2)}`;
    return [
      clock === 'wall' ? 'clock' : 'CPU',
      figure(before!.median),
      figure(after!.median),
      median.toFixed(2),
      range,
      String(passes.length),
    ];
  });
  const same = passes.every(([{answers}, other]) => answers.every((answer, i) => answer === other.answers[i]));
  const table = textTable([['ms a picture', 'before', 'after', 'after / before', 'p10 – p90', 'turns'], ...lines]);
  return `${table}\n\nthe answers are ${same ? 'the same' : 'NOT the same'}\n`;
}
