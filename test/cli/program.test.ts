import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {hasColours} from '../../src/cli/core/colours.js';
import {runMue as run} from '../../src/cli/program.js';
import {runMue} from '../support/cli/run-mue.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-usage-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));
const file = (name: string, content: string): string => {
  fs.writeFileSync(path.join(folder, name), content);
  return path.join(folder, name);
};
const picture = 'examples/pictures/01.png';

test('runMue --help: lists every command on stdout', async () => {
  const {code, stdout, stderr} = await runMue(['--help']);
  expect([code, stderr]).toEqual([0, '']);
  const listed = [...stdout.matchAll(/^ {2}([a-z]+)\b.*/gm)].map(([, name]) => name);
  expect(listed).toEqual([
    ...['caption', 'entail', 'ask', 'prompt', 'explain', 'classify', 'embed', 'retrieve'],
    ...['evaluate', 'merge', 'compare', 'data', 'record', 'sweep', 'calibrate', 'report', 'train'],
    ...['convert', 'export', 'inspect', 'doctor', 'native', 'demo', 'completion', 'help'],
  ]);
});

test('runMue <command> --help: ends with an example that calls the command', async () => {
  const {stdout: help} = await runMue(['--help']);
  const names = [...help.matchAll(/^ {2}([a-z]+)\b.*/gm)].map(([, name]) => name!).filter((name) => name !== 'help');
  for (const name of names) {
    const words = name === 'train' ? ['train', 'exits'] : [name];
    const {stdout} = await runMue([...words, '--help']);
    expect(stdout).toContain(`\nExample:\n  $ mue ${words.join(' ')}`);
  }
});

test.each([
  ['--beem', '--beam'],
  ['--numBeams', '--num-beams'],
  ['--num_Beams', '--num-beams'],
  ['--decoderThres', '--decoder_thres'],
  ['--maxLenB', '--max-len-b'],
  ['--jason', '--json'],
])('runMue caption %s: suggests %s', async (flag, meant) => {
  const {code, stderr} = await runMue(['caption', picture, flag, '3']);
  expect(code).toBe(2);
  expect(stderr).toContain(`error [usage]: unknown option '${flag}'\n(Did you mean ${meant}?)\n`);
});

test('runMue: colours on streams that have them, and none elsewhere', async () => {
  const written: string[] = [];
  const write = (text: string): void => void written.push(text);
  const host = {stdout: write, stderr: write, signal: new AbortController().signal};
  const lines = ['--help', 'caption --beem', 'caption none.png --exit none.json'];
  for (const line of lines) await run(line.split(' '), host);
  expect(written.join('')).not.toContain('\x1b');
  written.length = 0;
  for (const line of lines) await run(line.split(' '), {...host, colours: {stdout: true, stderr: true}});
  const shown = written.join('');
  expect(shown).toContain('\x1b[1mUsage:');
  expect(shown).toContain('\x1b[31merror [usage]\x1b[39m: unknown option');
  expect(shown).toContain('\x1b[31merror [plan-missing]\x1b[39m: ');
});

test.each([
  [{}, true, true],
  [{}, false, false],
  [{NO_COLOR: '1'}, true, false],
  [{NO_COLOR: ''}, true, true],
  [{FORCE_COLOR: '1'}, false, true],
  [{FORCE_COLOR: '0'}, true, false],
  [{NO_COLOR: '1', FORCE_COLOR: '1'}, false, false],
])('hasColours: %j, a terminal %s: %s', (environment, isTTY, colours) => {
  expect(hasColours({isTTY, hasColors: () => true}, environment)).toBe(colours);
});

test.each(['bash', 'zsh', 'fish'])(
  'mue completion %s: names every command, its options and their values',
  async (shell) => {
    const {code, stdout} = await runMue(['completion', shell]);
    expect(code).toBe(0);
    for (const word of ['caption', 'train', 'exits', 'num-beams', 'auto native cuda', 'scenes-coca'])
      expect(stdout).toContain(word);
  },
);

test('mue completion bash: completes commands, options and values', async () => {
  const {stdout: script} = await runMue(['completion', 'bash']);
  const complete = (...words: readonly string[]): string[] => {
    const line = `COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _mue; echo "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', `${script}\n${line}`], {encoding: 'utf8'})
      .trim()
      .split(' ');
  };
  expect(complete('mue', 'ca')).toEqual(['caption', 'calibrate']);
  expect(complete('mue', 'caption', '--num')).toEqual(['--num-beams']);
  expect(complete('mue', 'caption', '--device', 'c')).toEqual(['cuda', 'cpu']);
  expect(complete('mue', 'train', 'e')).toEqual(['exits']);
  expect(complete('mue', 'train', 'exits', '--task', 's')).toEqual(['snli-ve']);
  expect(complete('mue', 'caption', 'exa')).toEqual(['']);
});

test('mue completion, mue native: refuse what they do not know', async () => {
  expect(await runMue(['completion', 'tcsh'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('shell-unknown'),
  });
  expect(await runMue(['native', 'tpu'])).toMatchObject({code: 2, stderr: expect.stringContaining('native-kind')});
});

test('runMue --version: prints the version of the package', async () => {
  const {version} = JSON.parse(fs.readFileSync('package.json', 'utf8')) as {version: string};
  expect(await runMue(['--version'])).toEqual({code: 0, stdout: `${version}\n`, stderr: ''});
});

test('runMue caption --help: names every option of the command', async () => {
  const {code, stdout} = await runMue(['caption', '--help']);
  const named = [...stdout.matchAll(/^ {2}(?:-\w, )?--([\w-]+)/gm)].map(([, name]) => name);
  expect([code, named]).toEqual([
    0,
    [
      ...[
        'model',
        'device',
        'threads',
        'tf32',
        'no-relaxed',
        'no-functions',
        'exif',
        'max-pixels',
        'adapters',
        'no-adapters',
        'no-verify',
      ],
      ...['exit', 'img_thres', 'txt_thres', 'decoder_thres', 'thres', 'schedule', 'mode', 'skipped-kv'],
      ...['json', 'jsonl', 'trace'],
      ...['num-beams', 'max-new-tokens', 'min-length', 'no-repeat-ngram-size', 'length-penalty', 'temperature'],
      ...['top-k', 'top-p', 'repetition-penalty', 'rules', 'seed', 'stream'],
      ...['quiet', 'config', 'help'],
    ],
  ]);
});

const plan = file('plan.json', '{"version": 1, "stacks": {"decoder": {"policy": "similarity", "threshold": "high"}}}');
const unknownPolicy = file('policy.json', '{"version": 1, "stacks": {"decoder": {"policy": "intuition"}}}');
const otherModel = file('other.json', JSON.stringify({version: 1, model: 'ab'.repeat(32), stacks: {}}));
const noJson = file('no-json.json', '{');
/** A wrong command line, its exit code, the error's code, and what the message must say. */
const cases: readonly (readonly [string, readonly string[], number, string, RegExp])[] = [
  ['no command', [], 2, '', /Usage: mue/],
  ['an unknown command', ['paint'], 2, 'usage', /paint/],
  ['no picture', ['caption'], 2, 'usage', /images/],
  ['an unknown option', ['caption', picture, '--jason'], 2, 'usage', /--json/],
  ['a threshold of NaN', ['caption', picture, '--img_thres', 'NaN'], 2, 'threshold-invalid', /--img_thres.*NaN/],
  [
    'a threshold of a stack that no model has',
    ['caption', picture, '--thres', 'visions=1'],
    2,
    'threshold-invalid',
    /visions.*multimodal/,
  ],
  [
    'a threshold of a stack that this model lacks',
    ['caption', picture, '--device', 'wasm', '--thres', 'vision=.9'],
    2,
    'plan-stack',
    /vision.*encoder\.image, encoder\.text, decoder.*--thres encoder\.image=0\.9/s,
  ],
  ['no whole number', ['caption', picture, '--beam', '2.5'], 2, 'usage', /whole number/],
  ['an unknown schedule', ['caption', picture, '--schedule', 'weekly'], 2, 'usage', /constant, release, paper/],
  ['a missing plan', ['caption', picture, '--exit', path.join(folder, 'none.json')], 2, 'plan-missing', /none\.json/],
  ['a plan that is no JSON', ['caption', picture, '--exit', noJson], 2, 'plan-invalid', /no-json\.json/],
  ['an invalid plan', ['caption', picture, '--exit', plan], 2, 'plan-invalid', /stacks\.decoder\.threshold/],
  ['a plan and thresholds', ['caption', picture, '--exit', 'never', '--txt_thres', '.5'], 2, 'exit-twice', /exclude/],
  [
    'an unknown policy',
    ['caption', picture, '--device', 'wasm', '--exit', unknownPolicy],
    2,
    'plan-policy',
    /intuition.*similarity/,
  ],
  [
    'the plan of another model',
    ['caption', picture, '--device', 'wasm', '--exit', otherModel],
    2,
    'plan-model',
    /abab.*→.*calibrate/s,
  ],
  ['both kinds of JSON', ['caption', picture, '--json', '--jsonl'], 2, 'json-twice', /exclude/],
  ['several beams to stream', ['caption', picture, '--stream', '--beam', '5'], 2, 'stream-beams', /--num-beams 1/],
  [
    'missing answers',
    ['ask', picture, 'what?', '--answers', path.join(folder, 'none.txt')],
    2,
    'answers-unreadable',
    /none\.txt/,
  ],
  ['no answers', ['ask', picture, 'what?', '--answers', file('empty.txt', '\n\n')], 2, 'answers-empty', /no answer/],
  ['a method without answers', ['ask', picture, 'what?', '--method', 'trie'], 2, 'method-without-answers', /--answers/],
  [
    'a configuration with an unknown name',
    ['caption', picture, '--config', file('c.json', '{"beams": 3}')],
    2,
    'config-option',
    /num-beams/,
  ],
  [
    'a configuration with a wrong value',
    ['caption', picture, '--config', file('d.json', '{"num_beams": "x"}')],
    2,
    'config-value',
    /whole/,
  ],
  ['a folder that is no model', ['caption', picture, '--model', folder], 3, 'not-a-model', /no config\.json/],
  ['a model that is not there', ['caption', picture, '--model', path.join(folder, 'none')], 3, 'not-a-model', /none/],
  [
    'no checkpoint',
    ['convert', path.join(folder, 'none.pt'), path.join(folder, 'out')],
    3,
    'unreadable-file',
    /none\.pt/,
  ],
  ['a text file for a checkpoint', ['convert', noJson, path.join(folder, 'out')], 3, '', /no-json\.json/],
  ['nothing to inspect', ['inspect', folder], 3, 'not-a-checkpoint', /0 files of weights/],
  ['an unknown device', ['caption', picture, '--device', 'abacus'], 4, 'unknown-device', /wasm, cpu, got 'abacus'/],
];

test.each(cases)('runMue: %s is an error with its code and no stack trace', async (_, args, code, name, message) => {
  const result = await runMue(args);
  expect([result.code, result.stdout]).toEqual([code, '']);
  if (name !== '') expect(result.stderr).toContain(`error [${name}]: `);
  expect(result.stderr).toMatch(message);
  expect(result.stderr).not.toMatch(/^\s+at .*:\d+/m);
  expect(fs.existsSync(path.join(folder, 'out'))).toBe(false);
});
