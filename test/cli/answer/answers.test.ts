import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {z} from 'zod';
import {captionSchema, entailmentSchema, failureSchema, tracedSchema} from '../../support/cli/answer-schema.js';
import {microFolder} from '../../support/models/micro-folder.js';
import {type Finished, mueCommand} from '../../support/cli/mue-command.js';

// What the command line does around an answer; a micro model with random weights is enough for most of it.
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

test('in a list, bad pictures are reported and the rest is done: every kind of picture that must work', async () => {
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
  const result = await mueCommand(['caption', ...images, ...micro, '--jsonl', '--beam=2', '--max-len-b', '3']);
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

test('one object for one picture, an array for several; the first line of stderr says where it runs', async () => {
  const one = await mueCommand([
    'caption',
    fixture('png-0-8.png'),
    ...micro,
    '--json',
    '--trace',
    '--decoder_thres',
    '.2',
    '--max-len-b',
    '2',
  ]);
  const {trace, layers} = json(tracedSchema, one);
  expect(one.stderr).toBe('running on wasm (SIMD, 1 thread)\n');
  const decoder = trace.filter(({stack}) => stack === 'decoder');
  expect(layers.decoder).toEqual({run: decoder.map(({exitLayer}) => exitLayer), of: 4});
  expect(layers['encoder.image']).toEqual({run: 3, of: 3});
  expect(decoder.map(({step}) => step)).toEqual(decoder.map((_, i) => i));
  for (const {similarity, threshold, exitLayer} of decoder) {
    expect([similarity.length, threshold.length]).toEqual([exitLayer, exitLayer]);
    expect(threshold.filter((x) => x !== null && x !== 0.2)).toEqual([]);
  }
  const images = [fixture('png-0-8.png'), bad['image-empty']!];
  const several = await mueCommand([
    'caption',
    ...images,
    ...micro,
    '--json',
    '--beam',
    '1',
    '--max-len-b',
    '2',
    '--quiet',
  ]);
  expect(several.code).toBe(5);
  json(z.tuple([captionSchema, failureSchema]), several);
});

test('all pictures bad: 1, and with --json still an array', async () => {
  const result = await mueCommand(['caption', ...Object.values(bad), ...micro, '--json']);
  expect(result.code).toBe(1);
  expect(json(z.array(failureSchema), result).map(({error}) => error.code)).toEqual(Object.keys(bad));
  noStack(result);
});

test('texts that cannot be used: 1, with their code; unknown characters work', async () => {
  const picture = fixture('png-0-8.png');
  const long = Array.from({length: 10_000}, () => 'word').join(' ');
  const empty = await mueCommand(['prompt', picture, ' ', ...micro, '--json']);
  expect([empty.code, json(failureSchema, empty).error.code]).toEqual([1, 'text-empty']);
  const tooLong = await mueCommand(['prompt', picture, long, ...micro]);
  expect([tooLong.code, tooLong.stdout]).toEqual([1, '']);
  expect(tooLong.stderr).toContain('error [text-too-long]');
  noStack(tooLong);
  const unknown = await mueCommand([
    'prompt',
    picture,
    'καλημέρα 你好 🐈 \u0001',
    ...micro,
    '--json',
    '--beam',
    '1',
    '--max-len-b',
    '2',
  ]);
  expect(unknown.code).toBe(0);
  json(captionSchema, unknown);
});

test('entailment adds scores that are probabilities; a premise is another question', async () => {
  const args = [fixture('png-0-8.png'), 'there is a house', ...micro, '--json'];
  const [plain, premise] = await Promise.all([
    mueCommand(['entail', ...args]),
    mueCommand(['entail', ...args, '--premise', 'a house by the sea']),
  ]);
  const {scores, text, score} = json(entailmentSchema, plain);
  const sum = Object.values(scores).reduce((total, x) => total + Math.exp(x), 0);
  expect(sum).toBeCloseTo(1, 6);
  expect(score).toBe(Math.max(...Object.values(scores)));
  expect(Object.entries(scores)).toContainEqual([text, score]);
  expect(json(entailmentSchema, premise).scores).not.toEqual(scores);
});

test('stdin, --quiet and --config: the text alone on stdout', async () => {
  const config = file(
    'config.json',
    JSON.stringify({model: micro[1], device: 'wasm', num_beams: 1, 'max-new-tokens': 7, quiet: true}),
  );
  const input = fs.readFileSync(fixture('png-0-8.png'));
  const piped = await mueCommand(['caption', '-', '--config', config, '--max-new-tokens', '2', '--json'], {input});
  expect([piped.code, piped.stderr]).toEqual([0, '']);
  // The command line wins over the file.
  const {text, tokens, image, hypotheses} = json(captionSchema, piped);
  expect([image, hypotheses.length, tokens.length]).toEqual(['-', 1, 2]);
  const words = await mueCommand(['caption', '-', '--config', config, '--max-new-tokens', '2'], {input});
  expect(words.stdout).toBe(`${text}\n`);
});

test('Ctrl-C: 130, and nothing half-printed', async () => {
  const images = Array.from({length: 200}, () => fixture('png-0-8.png'));
  const result = await mueCommand(['caption', ...images, ...micro, '--json'], {interruptAt: 'running on'});
  expect([result.code, result.stdout]).toEqual([130, '']);
  expect(result.stderr).toContain('error [aborted]: interrupted');
  noStack(result);
});
