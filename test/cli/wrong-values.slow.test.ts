import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type {CommandUnknownOpts} from '@commander-js/extra-typings';
import {declareProgram} from '../../src/cli/program.js';
import {seededRandom} from '../../src/runtime/random.js';
import {visible} from '../../src/text/visible.js';
import type {Finished} from '../support/cli/mue-command.js';
import {runMue} from '../support/cli/run-mue.js';
import {syntheticRows, writeRecording} from '../support/data/synthetic-recording.js';

// Every option and argument of every command, one after the other, gets values that make no sense. Whatever comes of it
// is an exit code and an error of this package's own: its codes are words in small letters. Codes of the file system
// (ENOENT) and of the engine ('unexpected') are raw errors, which nobody wrote for people. Commands and options are read
// from the program: a new option is covered, and a new command is asked for.

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-wrong-'));
const at = (name: string): string => path.join(root, name);
const before = process.cwd();
// No model is there: whatever is checked before one is loaded comes first, and costs little.
const model = at('no-model');
beforeAll(() => {
  fs.copyFileSync(path.join(before, 'examples', 'pictures', '01.png'), at('p.png'));
  const row = {id: 'a', image: 'p.png', text: 'what?', references: ['a dog'], answers: {yes: 1}};
  fs.writeFileSync(at('rows.jsonl'), `${JSON.stringify(row)}\n`);
  fs.writeFileSync(at('list.txt'), 'yes\nno\n');
  fs.writeFileSync(at('broken.json'), '{"a": ');
  fs.writeFileSync(at('bytes'), Buffer.from([0xff, 0xd8, 0, 0x80, 0x1b, 0xc3]));
  writeRecording(at('recording.jsonl'), syntheticRows(30));
  execFileSync('mkfifo', [at('pipe.jsonl')]);
  // Outputs with senseless names land here.
  fs.mkdirSync(at('here'));
  process.chdir(at('here'));
});
afterAll(() => {
  process.chdir(before);
  fs.rmSync(root, {recursive: true});
});

/** The arguments with which a command would run but for its model. */
const RUNS: Readonly<Record<string, (out: string) => readonly string[]>> = {
  caption: () => [at('p.png'), '--model', model],
  entail: () => [at('p.png'), 'a dog', '--model', model],
  ask: () => [at('p.png'), 'what?', '--model', model],
  prompt: () => [at('p.png'), 'what?', '--model', model],
  explain: (out) => [at('p.png'), '--out', out, '--model', model],
  classify: () => [at('p.png'), '--labels', at('list.txt'), '--model', model],
  embed: () => [at('p.png'), '--model', model],
  retrieve: () => ['a dog', '--embeddings', at('rows.jsonl'), '--model', model],
  evaluate: (out) => ['--task', 'vqa', '--data', at('rows.jsonl'), '--out', out, '--model', model],
  merge: (out) => [at('here'), '--out', out],
  compare: () => [at('here'), at('here')],
  data: (out) => [at('rows.jsonl'), out, '--task', 'caption'],
  record: (out) => ['--data', at('rows.jsonl'), '--out', out, '--model', model],
  sweep: (out) => [at('recording.jsonl'), '--grid', '2', '--resamples', '10', '--out', out],
  calibrate: (out) => [at('recording.jsonl'), '--grid', '2', '--max-drop', '50%', '--out', out],
  report: (out) => [at('here'), '--out', out],
  train: (out) => [model, '--task', 'caption', '--data', at('rows.jsonl'), '--out', out],
  'train exits': (out) => [model, '--task', 'caption', '--data', at('rows.jsonl'), '--out', out],
  convert: (out) => [at('list.txt'), out],
  export: (out) => [model, out, '--to', 'pt'],
  inspect: () => [at('list.txt')],
  completion: () => ['bash'],
};
/** These start processes or a server: a wrong value that passes would build, probe devices or wait for ever. */
const LEFT_OUT = ['doctor', 'native', 'demo'];

const VALUES: readonly string[] = [
  '',
  'NaN',
  '-1',
  '1e999',
  '99999999999999999999',
  'constructor',
  '__proto__',
  'nul\0character',
  '../a/b\nc',
  'long'.repeat(1250),
  at('absent.jsonl'),
  at('pipe.jsonl'),
  at('here'),
  at('list.txt'),
  at('bytes'),
  at('broken.json'),
  path.join(at('list.txt'), 'inside.jsonl'),
];
/** What a terminal would obey; every place gets it, and no output holds it as it is. */
const OBEYED = 'x\x1b[31m\r\x07\u202e\x9b2J.png';
/** How many of the other values each place gets, by a seeded choice; all take minutes. */
const EACH = 2;

/** The commands that do something, by their whole names. */
function commandsOf(parent: CommandUnknownOpts, prefix = ''): readonly (readonly [string, CommandUnknownOpts])[] {
  return parent.commands.flatMap((command) => {
    const name = `${prefix}${command.name()}`;
    return [[name, command] as const, ...commandsOf(command, `${name} `)];
  });
}
const host = {stdout: () => undefined, stderr: () => undefined, signal: new AbortController().signal};
const COMMANDS = commandsOf(declareProgram([], host, () => undefined)).filter(([name]) => !LEFT_OUT.includes(name));

/** What is wrong with the answer to a command line; undefined if nothing is. */
async function fault(args: readonly string[]): Promise<string | undefined> {
  const {code, stdout, stderr} = await runMue(args).catch(
    (error: unknown): Finished => ({code: null, stdout: '', stderr: String(error)}),
  );
  const codes = [...stderr.matchAll(/error \[([^\]]*)\]/g)].map((match) => match[1]!);
  const raw =
    code === null ||
    ![0, 1, 2, 3, 4, 5].includes(code) ||
    visible(stdout + stderr) !== stdout + stderr ||
    codes.some((name) => name === 'unexpected' || name === 'system' || !/^[a-z][a-z0-9-]*$/.test(name)) ||
    /\b(ZodError|TypeError|RangeError|SyntaxError|E[A-Z]{4,}: )|\n {4}at /.test(stderr);
  return raw ? `exit code ${code}: ${stderr.slice(0, 300)}` : undefined;
}

test('every command of the program is tried, or left out for a reason', () => {
  expect(COMMANDS.map(([name]) => name).sort()).toEqual(Object.keys(RUNS).sort());
});

test.each(COMMANDS)('mue %s: wrong values give exit codes and errors of its own', async (name, command) => {
  const random = seededRandom(name.length);
  const run = RUNS[name]!;
  const base = run(at('out'));
  const faults: string[] = [];
  let made = 0;
  const tryValues = async (what: string, argsWith: (value: string) => readonly string[]): Promise<void> => {
    for (const value of [OBEYED, ...Array.from({length: EACH}, () => VALUES[random.below(VALUES.length)]!)]) {
      const found = await fault([...name.split(' '), ...argsWith(value), '--quiet']);
      if (found !== undefined) faults.push(`${what} ${JSON.stringify(value.slice(0, 60))}: ${found}`);
    }
  };
  const fresh = (): readonly string[] => run(at(`out-${made++}`));
  for (const [i, argument] of base.entries())
    if (!argument.startsWith('--'))
      await tryValues(`${base[i - 1]} (${i})`, (value) => fresh().map((own, j) => (j === i ? value : own)));
  for (const {long, required, optional} of command.options)
    if (long && (required || optional) && !base.includes(long))
      await tryValues(long, (value) => [...fresh(), long, value]);
  expect(faults).toEqual([]);
});
