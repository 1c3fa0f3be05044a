import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {RowLog} from '../../../src/node/runs/row-log.js';
import {WriterLock} from '../../../src/node/runs/writer-lock.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-lock-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
let cases = 0;
const fresh = (): string => {
  const folder = path.join(root, String(cases++));
  fs.mkdirSync(folder);
  return folder;
};
const inUse = expect.objectContaining({code: 'folder-in-use'});
/** The built module: locks are between processes. */
const BUILT = fileURLToPath(new URL('../../../dist/node/runs/writer-lock.js', import.meta.url));

/** Takes the lock, says so and waits to be killed; or says why it could not. */
function holder(target: string): ReturnType<typeof spawn> {
  const script = `import {WriterLock} from ${JSON.stringify(BUILT)};
    try { globalThis.lock = WriterLock.take(process.argv[1]); console.log('held'); setInterval(() => {}, 1e6); }
    catch (error) { console.log(error.code); }`;
  return spawn(process.execPath, ['--input-type=module', '-e', script, target], {stdio: ['ignore', 'pipe', 'inherit']});
}
const firstWord = async (child: ReturnType<typeof spawn>): Promise<string> =>
  String(await once(child.stdout!, 'data')).trim();
async function kill(child: ReturnType<typeof spawn>): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

test('WriterLock: one writer at a time in a process, by any name of the target, and nothing is left', () => {
  const folder = fresh();
  const file = path.join(folder, 'rows.jsonl');
  fs.writeFileSync(file, '');
  fs.symlinkSync(file, path.join(folder, 'other-name.jsonl'));
  {
    using _file = WriterLock.take(file);
    expect(() => WriterLock.take(path.join(folder, 'other-name.jsonl'))).toThrow(inUse);
    using _folder = WriterLock.take(folder);
    expect(() => WriterLock.take(`${folder}/../${path.basename(folder)}`)).toThrow(inUse);
  }
  WriterLock.take(file)[Symbol.dispose]();
  expect(fs.readdirSync(folder).sort()).toEqual(['other-name.jsonl', 'rows.jsonl']);
});

test('WriterLock: refuses while another process lives, not once it is killed', async () => {
  const folder = fresh();
  const child = holder(folder);
  expect(await firstWord(child)).toBe('held');
  expect(() => WriterLock.take(folder)).toThrow(
    expect.objectContaining({code: 'folder-in-use', message: expect.stringContaining(`process ${child.pid}`)}),
  );
  await kill(child);
  expect(fs.readdirSync(folder)).toEqual(['.lock']);
  WriterLock.take(folder)[Symbol.dispose]();
  expect(fs.readdirSync(folder)).toEqual([]);
});

test('WriterLock: of many processes that find the lock of a dead one, exactly one gets it', async () => {
  const folder = fresh();
  const dead = holder(folder);
  await firstWord(dead);
  await kill(dead);
  const children = Array.from({length: 6}, () => holder(folder));
  const words = await Promise.all(children.map(firstWord));
  expect(words.filter((word) => word === 'held')).toEqual(['held']);
  expect(new Set(words)).toEqual(new Set(['held', 'folder-in-use']));
  for (const [i, child] of children.entries()) if (words[i] === 'held') await kill(child);
});

/** A lock as its file holds it, with some of it changed. */
function forge(folder: string, change: object): string {
  const file = path.join(folder, '.lock');
  using _lock = WriterLock.take(folder);
  const forged = {...JSON.parse(fs.readFileSync(file, 'utf8')), token: 'abcdef', ...change};
  fs.writeFileSync(file, JSON.stringify(forged));
  return file;
}

test('WriterLock: a number that was given to another process is no sign of life', () => {
  const folder = fresh();
  forge(folder, {pid: process.ppid, started: '1'});
  WriterLock.take(folder)[Symbol.dispose]();
});

test('WriterLock: a holder on another machine is dead after a minute without a sign of life', () => {
  for (const content of [
    JSON.stringify({token: 'ab', pid: 1, started: '5', machine: 'x', host: 'far'}),
    'damaged',
    '',
  ]) {
    const folder = fresh();
    const file = path.join(folder, '.lock');
    fs.writeFileSync(file, content);
    expect(() => WriterLock.take(folder)).toThrow(inUse);
    const before = new Date(Date.now() - 61_000);
    fs.utimesSync(file, before, before);
    WriterLock.take(folder)[Symbol.dispose]();
    expect(fs.readdirSync(folder)).toEqual([]);
  }
});

test('WriterLock: heals what was left by processes killed while they took one over', () => {
  const folder = fresh();
  const gone = Number(execFileSync(process.execPath, ['-p', 'process.pid'], {encoding: 'utf8'}));
  const file = forge(folder, {pid: gone});
  const second = {...JSON.parse(fs.readFileSync(file, 'utf8')), token: 'fedcba'};
  fs.writeFileSync(`${file}-abcdef`, JSON.stringify(second));
  fs.writeFileSync(`${file}.${gone}.77.0123456789ab`, '');
  WriterLock.take(folder)[Symbol.dispose]();
  expect(fs.readdirSync(folder)).toEqual([]);
});

test('RowLog: refuses a second writer, and notices one that has written all the same', () => {
  const file = path.join(fresh(), 'rows.jsonl');
  {
    using log = RowLog.open(file, {a: 1});
    log.append({index: 0});
    expect(() => RowLog.open(file, {a: 1})).toThrow(inUse);
    fs.appendFileSync(file, '{"index":1}\n');
    expect(() => log.append({index: 2})).toThrow(inUse);
  }
  using log = RowLog.open(file, {a: 1});
  expect(log.rows).toEqual([{index: 0}, {index: 1}]);
});
