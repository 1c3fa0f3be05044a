import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {writeAtomic} from '../../../src/node/runs/write-atomic.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-atomic-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));

test('writeAtomic: replaces a file, and leaves nothing beside it', () => {
  const file = path.join(folder, 'plan.json');
  writeAtomic(file, 'before');
  writeAtomic(file, ['a', Buffer.from('b')]);
  expect(fs.readFileSync(file, 'utf8')).toBe('ab');
  expect(fs.readdirSync(folder)).toEqual(['plan.json']);
});

test.each([
  ['with a NUL character', 'nul\0.json', 'holds a NUL character'],
  ['too long', `${'long'.repeat(100)}.json`, 'the name is too long'],
  ['through a file', 'plan.json/inside.json', 'a part of the path is no folder'],
  ['in a folder that is not there', 'absent/plan.json', 'a part of the path is not there'],
  ['of a folder', '.', 'a folder is there'],
])('writeAtomic: a name %s is cannot-write, in words', (_, name, why) => {
  const write = () => writeAtomic(`${folder}/${name}`, 'x');
  expect(write).toThrow(expect.objectContaining({code: 'cannot-write', message: expect.stringContaining(why)}));
});
