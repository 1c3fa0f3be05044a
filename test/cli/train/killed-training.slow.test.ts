import {spawn} from 'node:child_process';
import {createHash} from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {MUE, mueCommand} from '../../support/cli/mue-command.js';
import {cocaFolder} from '../../support/models/coca-folder.js';
import {microFolder} from '../../support/models/micro-folder.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-train-killed-'));
afterAll(() => fs.rmSync(root, {recursive: true}));

const LONG = ['--updates', '30', '--batch', '2', '--every', '3', '--limit', '6'];

test.each([
  {
    family: 'OFA',
    folder: microFolder,
    options: ['--task', 'snli-ve', '--data', 'data/scenes/snli-ve-calibration.jsonl'],
    files: ['encodings/encodings.f16'],
  },
  {
    family: 'CoCa',
    folder: cocaFolder,
    options: [
      ...['--task', 'caption', '--data', 'data/scenes/caption-val.jsonl', '--recipe', 'coca', '--init', 'random'],
      ...['--cuts', '0.5', '--accumulate', '2', '--device', 'wasm', '--threads', '1'],
    ],
    files: [],
  },
])(
  'mue train: killed again and again, it ends with the bytes of a run that was not: $family',
  async (of) => {
    const model = await of.folder(root);
    const arguments_ = (out: string): string[] => [
      ...['train', model, ...of.options, ...LONG],
      ...['--out', path.join(root, of.family, out)],
    ];
    const run = (...names: string[]): string => path.join(root, of.family, ...names);
    fs.mkdirSync(run());
    expect(await mueCommand(arguments_('whole'))).toMatchObject({code: 0});
    for (let kill = 1; kill <= 4; kill++) await killedAfterUpdates(arguments_('killed'), run('killed'), 5 * kill);
    expect(await mueCommand(arguments_('killed'))).toMatchObject({code: 0});
    const hash = (...names: string[]): string =>
      createHash('sha256')
        .update(fs.readFileSync(run(...names)))
        .digest('hex');
    for (const file of ['state.safetensors', 'last/model.safetensors', ...of.files])
      expect([file, hash('killed', file)]).toEqual([file, hash('whole', file)]);
    const updates = (out: string): unknown[] =>
      fs
        .readFileSync(run(out, 'log.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => ({...(JSON.parse(line) as object), ms: 0}));
    expect(updates('killed')).toEqual(updates('whole'));
  },
  600_000,
);

/** Kills the process, signal 9, once its log has so many updates. */
function killedAfterUpdates(args: readonly string[], run: string, updates: number): Promise<void> {
  const log = path.join(run, 'log.jsonl');
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [MUE, ...args], {stdio: 'ignore'});
    const watch = setInterval(() => {
      const lines = fs.existsSync(log) ? fs.readFileSync(log, 'utf8').split('\n').length - 2 : 0;
      if (lines >= updates) child.kill('SIGKILL');
    }, 10);
    child.on('close', () => {
      clearInterval(watch);
      resolve();
    });
  });
}
