import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {FailedImages, readAnswers, readImage, readList, SkippedRows} from '../../../src/cli/core/inputs.js';
import {createOutput, type Output} from '../../../src/cli/core/output.js';
import {InputError} from '../../../src/runtime/errors.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-inputs-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));
const file = (name: string, text: string): string => {
  fs.writeFileSync(path.join(folder, name), text);
  return path.join(folder, name);
};
const code = (name: string): Error => expect.objectContaining({code: name}) as unknown as Error;

/** Output that keeps what is written to stderr. */
function recorded(): {out: Output; stderr: string[]} {
  const stderr: string[] = [];
  return {out: createOutput({stdout: () => {}, stderr: (text) => stderr.push(text)}, true), stderr};
}

test.each([
  [0, 0],
  [1, 5],
  [3, 1],
])('FailedImages: %i of 3 images that failed are reported, and the exit code is %i', (failed, exitCode) => {
  const {out, stderr} = recorded();
  const failures = new FailedImages(out);
  for (let i = 0; i < failed; i++)
    failures.report(`${i}.png`, new InputError('bad', 'It is bad.', {hint: 'Take another.'}));
  expect(stderr).toEqual(
    Array.from({length: failed}, (_, i) => `${i}.png: error [bad]: It is bad.\n  → Take another.\n`),
  );
  expect(failures.exitCode(3)).toBe(exitCode);
});

test('SkippedRows: a hint that several rows share is said once', () => {
  const {out, stderr} = recorded();
  const skipped = new SkippedRows(out);
  const error = new InputError('bad-row', 'no', {hint: 'try this'});
  for (const line of [1, 2]) skipped.onBadRow({line, error});
  skipped.onBadRow({line: 3, error: new InputError('bad-row', 'no', {hint: 'or that'})});
  expect(stderr.join('')).toBe(
    'warning: line 1 is skipped: no\n  → try this\nwarning: line 2 is skipped: no\nwarning: line 3 is skipped: no\n  → or that\n',
  );
});

test('SkippedRows: tells each row by its line, counts, and returns 5 if there is one', () => {
  const {out, stderr} = recorded();
  const skipped = new SkippedRows(out);
  expect(skipped.exitCode).toBe(0);
  skipped.onBadRow({line: 3, error: new Error('no JSON')});
  expect([skipped.count, skipped.exitCode]).toEqual([1, 5]);
  expect(stderr).toEqual(['warning: line 3 is skipped: no JSON\n']);
});

test('readImage: reads bytes; a missing file and a folder are InputErrors that say so', async () => {
  expect([...(await readImage(file('image', 'abc')))]).toEqual([97, 98, 99]);
  await expect(readImage(path.join(folder, 'none'))).rejects.toThrow(/none: there is no such file/);
  await expect(readImage(folder)).rejects.toThrow(code('image-unreadable'));
});

test('readList: trims lines and leaves out empty ones and a byte order mark', () => {
  expect(readList(file('list', '\ufeff dog \r\n\n  \ncat\n'), '--labels')).toEqual(['dog', 'cat']);
  expect(() => readList(path.join(folder, 'none'), '--labels')).toThrow(/^--labels .*none/);
});

test('readAnswers: keeps lines as they stand, leaves out empty ones, and wants one', () => {
  expect(readAnswers(file('answers', 'ice cream\r\n\n cake\n'))).toEqual(['ice cream', ' cake']);
  expect(() => readAnswers(file('blank', ' \n\n'))).toThrow(code('answers-empty'));
  expect(() => readAnswers(path.join(folder, 'none'))).toThrow(code('answers-unreadable'));
});

test.each([
  ['https://example.org/a.jpg', 'an address', /download/],
  ['none-*.jpg', 'no file matches', undefined],
])('readImage: says of %s what it is', async (name, why, hint) => {
  const error = (await readImage(name).catch((thrown: unknown) => thrown)) as InputError;
  expect(error).toMatchObject({code: 'image-unreadable', message: expect.stringContaining(why) as string});
  if (hint) expect(error.hint).toMatch(hint);
  else expect(error.hint).toBeUndefined();
});
