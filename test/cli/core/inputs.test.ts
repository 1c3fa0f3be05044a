import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {forEachImage, readAnswers, readImage, readList, SkippedRows} from '../../../src/cli/core/inputs.js';
import {createOutput, type Output} from '../../../src/cli/core/output.js';
import {AbortError, BackendError, InputError, UsageError, WeightsError} from '../../../src/runtime/errors.js';

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

describe('forEachImage', () => {
  const failing = (...bad: readonly string[]) => ({
    done: [] as string[],
    failures: [] as string[],
    finishedImages: 0,
    async run(image: string): Promise<void> {
      if (bad.includes(image)) throw new InputError('bad', `${image} is bad`, {hint: 'Take another.'});
      this.done.push(image);
    },
    failed(image: string): void {
      this.failures.push(image);
    },
    finished(): void {
      this.finishedImages++;
    },
  });

  test.each([
    [[], 0],
    [['b'], 5],
    [['a', 'b', 'c'], 1],
  ])('goes on after the images %j fail, and returns %i', async (bad, exitCode) => {
    const {out, stderr} = recorded();
    const task = failing(...bad);
    expect(await forEachImage(['a', 'b', 'c'], out, task)).toBe(exitCode);
    expect([...task.done, ...task.failures].sort()).toEqual(['a', 'b', 'c']);
    expect(task.failures).toEqual(bad);
    expect(task.finishedImages).toBe(3);
    expect(stderr).toEqual(bad.map((image) => `${image}: error [bad]: ${image} is bad\n  → Take another.\n`));
  });

  test.each<[string, new (code: string, message: string) => Error]>([
    ['AbortError', AbortError],
    ['UsageError', UsageError],
    ['WeightsError', WeightsError],
    ['BackendError', BackendError],
  ])('stops at an %s, which every image would meet', async (_, kind) => {
    const error = new kind('code', 'message');
    const seen: string[] = [];
    const run = (image: string): Promise<void> => {
      seen.push(image);
      return Promise.reject(error);
    };
    await expect(forEachImage(['a', 'b'], recorded().out, {run})).rejects.toBe(error);
    expect(seen).toEqual(['a']);
  });
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
