import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {z} from 'zod';
import {captionSchema, entailmentSchema, failureSchema, tracedSchema} from '../../support/cli/answer-schema.js';
import {microFolder} from '../../support/models/micro-folder.js';
import type {Finished} from '../../support/cli/mue-command.js';
import {runMue} from '../../support/cli/run-mue.js';

// The command line around an answer: a micro model with random weights is enough for it.
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-answers-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));
let micro: readonly string[] = [];
beforeAll(async () => {
  micro = ['--model', await microFolder(folder), '--device', 'wasm'];
});

const file = (name: string, content: string | Uint8Array): string => {
  fs.writeFileSync(path.join(folder, name), content);
  return path.join(folder, name);
};
const fixture = (name: string): string => `test/fixtures/images/${name}`;
const json = <T>(schema: z.ZodType<T>, {stdout}: Finished): T => schema.parse(JSON.parse(stdout));
const noStack = ({stderr}: Finished): void => expect(stderr).not.toMatch(/^\s+at .*:\d+/m);

/** A BMP header of 20,000 × 20,000 pixels, and nothing behind it. */
function hugeBmp(): Buffer {
  const header = Buffer.alloc(54);
  header.write('BM');
  for (const [offset, value] of [
    [2, 54],
    [10, 54],
    [14, 40],
    [18, 20_000],
    [22, 20_000],
  ] as const)
    header.writeUInt32LE(value, offset);
  header.writeUInt16LE(1, 26);
  header.writeUInt16LE(24, 28);
  return header;
}

const bad: Readonly<Record<string, string>> = {
  'image-format': file('text.jpg', 'This is no picture.\n'),
  'image-corrupt': file('cut.jpg', fs.readFileSync(fixture('jpeg-422.jpg')).subarray(0, 900)),
  'image-empty': file('empty.jpg', ''),
  'image-too-large': file('huge.bmp', hugeBmp()),
  'image-unreadable': path.join(folder, 'none.png'),
};

test('answerImages: reports bad images of a list and answers about the rest, of every format', async () => {
  const good = [
    'jpeg-1x1.jpg',
    'gif-animated.gif',
    'webp-animated.webp',
    'png-2-16.png',
    'png-3-4.png',
    'png-0-8.png',
    'jpeg-cmyk.jpg',
  ];
  const images = [...good.slice(0, 3).map(fixture), ...Object.values(bad), ...good.slice(3).map(fixture)];
  const result = await runMue(['caption', ...images, ...micro, '--jsonl', '--beam=2', '--max-len-b', '3']);
  expect(result.code).toBe(5);
  noStack(result);
  const lines = result.stdout
    .trimEnd()
    .split('\n')
    .map((line) => z.union([captionSchema, failureSchema]).parse(JSON.parse(line)));
  expect(lines.map(({image}) => image)).toEqual(images);
  for (const [code, image] of Object.entries(bad)) {
    expect(lines.find((line) => line.image === image)).toMatchObject({error: {code}});
    expect(result.stderr).toContain(`${image}: error [${code}]: `);
  }
  const done = lines.filter((line) => 'text' in line);
  expect(done).toHaveLength(good.length);
  // The model is loaded once.
  expect(done.map(({ms}) => ms.load > 0)).toEqual(done.map((_, i) => i === 0));
  expect(done.every(({hypotheses, tokens}) => hypotheses.length === 2 && tokens.length <= 3)).toBe(true);
});

test('answerImages --json: one object for one image, an array for several; stderr begins with the device', async () => {
  const two = ['--json', '--max-len-b', '2'];
  const one = await runMue(['caption', fixture('png-0-8.png'), ...micro, ...two, '--trace', '--decoder_thres', '.2']);
  const {trace, layers} = json(tracedSchema, one);
  expect(one.stderr).toMatch(/^running on wasm \((relaxed )?SIMD, \d+ threads?\)\n$/);
  const decoder = trace.filter(({stack}) => stack === 'decoder');
  expect(layers.decoder).toEqual({run: decoder.map(({exitLayer}) => exitLayer), of: 4});
  expect(layers['encoder.image']).toEqual({run: 3, of: 3});
  expect(decoder.map(({step}) => step)).toEqual(decoder.map((_, i) => i));
  for (const {similarity, threshold, exitLayer} of decoder) {
    expect([similarity.length, threshold.length]).toEqual([exitLayer, exitLayer]);
    expect(threshold.filter((x) => x !== null && x !== 0.2)).toEqual([]);
  }
  const images = [fixture('png-0-8.png'), bad['image-empty']!];
  const several = await runMue(['caption', ...images, ...micro, ...two, '--beam', '1', '--quiet']);
  expect(several.code).toBe(5);
  json(z.tuple([captionSchema, failureSchema]), several);
});

test('answerImages: if all images are bad, the exit code is 1, and --json is still an array', async () => {
  const result = await runMue(['caption', ...Object.values(bad), ...micro, '--json']);
  expect(result.code).toBe(1);
  expect(json(z.array(failureSchema), result).map(({error}) => error.code)).toEqual(Object.keys(bad));
  noStack(result);
});

test('mue prompt: an empty or too long text is an error with its code; unknown characters work', async () => {
  const picture = fixture('png-0-8.png');
  const long = Array.from({length: 10_000}, () => 'word').join(' ');
  const empty = await runMue(['prompt', picture, ' ', ...micro, '--json']);
  expect([empty.code, json(failureSchema, empty).error.code]).toEqual([1, 'text-empty']);
  const tooLong = await runMue(['prompt', picture, long, ...micro]);
  expect([tooLong.code, tooLong.stdout]).toEqual([1, '']);
  expect(tooLong.stderr).toContain('error [text-too-long]');
  noStack(tooLong);
  const short = ['--json', '--beam', '1', '--max-len-b', '2'];
  const unknown = await runMue(['prompt', picture, 'καλημέρα 你好 🐈 \u0001', ...micro, ...short]);
  expect(unknown.code).toBe(0);
  json(captionSchema, unknown);
});

test('mue entail: scores are log probabilities of the three answers; --premise changes them', async () => {
  const args = [fixture('png-0-8.png'), 'there is a house', ...micro, '--json'];
  const plain = await runMue(['entail', ...args]);
  const premise = await runMue(['entail', ...args, '--premise', 'a house by the sea']);
  const {scores, text, score} = json(entailmentSchema, plain);
  const sum = Object.values(scores).reduce((total, x) => total + Math.exp(x), 0);
  expect(sum).toBeCloseTo(1, 6);
  expect(score).toBe(Math.max(...Object.values(scores)));
  expect(Object.entries(scores)).toContainEqual([text, score]);
  expect(json(entailmentSchema, premise).scores).not.toEqual(scores);
});
