import {spawnSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {BackendError} from '../../src/runtime/errors.js';
import type {Row} from '../report/result-file.js';
import {medianByPart, summarize} from '../measure/statistics.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/mue.cjs', import.meta.url));
const PICTURE = fileURLToPath(new URL('../../examples/pictures/05.png', import.meta.url));

/**
 * Measures whole commands in processes of their own, as a user types them; the parts of `caption` are those of its
 * --json.
 */
export function measureCommands(device: string, times: number): Row[] {
  const run = (...args: string[]): {readonly ms: number; readonly out: string} => {
    const began = performance.now();
    const {status, stdout, stderr} = spawnSync(process.execPath, [MAIN, ...args], {encoding: 'utf8', timeout: 300_000});
    if (status !== 0)
      throw new BackendError('bench-command', `mue ${args.join(' ')} ended with ${status}: ${stderr.slice(-300)}`);
    return {ms: performance.now() - began, out: stdout};
  };
  const caption = ['caption', '--device', device, '--json', PICTURE];
  const [help, whole]: [number[], number[]] = [[], []];
  const parts: Record<string, number>[] = [];
  run(...caption); // files into the system's cache
  for (let i = 0; i < times; i++) {
    help.push(run('--help').ms);
    const {ms, out} = run(...caption);
    whole.push(ms);
    const {total, ...laps} = (JSON.parse(out) as {ms: Record<string, number>}).ms;
    parts.push({...laps, 'Node, imports, exit': ms - (total ?? Number.NaN)});
  }
  const row = (name: string, values: number[], note?: string): Row => ({
    group: 'command',
    name,
    unit: 'ms',
    ...summarize(values),
    note,
  });
  return [
    row('mue --help', help),
    row('mue caption', whole, 'a new process, the shipped model, one picture'),
    ...Object.entries(medianByPart(parts)).map(
      ([name, summary]): Row => ({group: 'command', name: `… ${name}`, unit: 'ms', ...summary}),
    ),
  ];
}
