import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  type CaptionJson,
  captionSchema,
  type EntailmentJson,
  entailmentSchema,
} from '../../support/cli/answer-schema.js';
import {mueCommand} from '../../support/cli/mue-command.js';

// The shipped model, through the command line: what the README shows.
const picture = 'examples/pictures/01.png';
const wasm = ['--device', 'wasm'];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-scenes-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));

test('captions for people: one picture on some lines, several on one each', async () => {
  const {code, stdout} = await mueCommand(['caption', picture, ...wasm]);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^examples\/pictures\/01\.png\n {2}two big cupcakes in a room\n\n {2}layers {2}image [\d.]+\/6, text [\d.]+\/6, decoder [\d.]+\/6\n/,
  );
  expect(stdout).toMatch(
    /\n {2}MACs +\d\.\d\d of \d\.\d\d G \([\d.]+ % saved\)\n {2}time +\d+ ms \(.*; model loaded in \d+ ms\n$/,
  );
  const both = await mueCommand([
    'caption',
    picture,
    'examples/pictures/12.png',
    ...wasm,
    '--exit',
    'never',
    '--stream',
  ]);
  expect(both.stdout.trimEnd().split('\n')).toEqual([
    expect.stringMatching(
      /01\.png {2}two big cupcakes in a room {2}\[image 6\/6, text 6\/6, decoder 6\/6; 0 % of MACs saved; \d+ ms\]$/,
    ),
    expect.stringMatching(/12\.png {2}three footballs and a curtain in the sea {2}\[/),
  ]);
  expect(both.stderr).toContain('  ██████ 6/6  two big cup\n');
});

test("entailment with the model's plan, the release's and without exits", async () => {
  const ask = async (...exit: string[]): Promise<EntailmentJson> => {
    const {stdout} = await mueCommand(['entail', picture, 'there are two cupcakes', ...wasm, '--json', ...exit]);
    return entailmentSchema.parse(JSON.parse(stdout));
  };
  const model = await ask();
  expect(model).toMatchObject({
    text: 'yes',
    layers: {'encoder.image': {run: 1, of: 6}, 'encoder.text': {run: 1, of: 6}, decoder: {run: 3}},
  });
  const release = await ask('--exit', 'release');
  expect(release).toMatchObject({text: 'yes', layers: {'encoder.image': {run: 2}, 'encoder.text': {run: 4}}});
  const full = await ask('--exit', 'never');
  expect(full).toMatchObject({text: 'yes', layers: {decoder: {run: 6, of: 6}}, macs: {run: full.macs.full}});
  expect(model.macs.run).toBeLessThan(release.macs.run);
  expect(release.macs.run).toBeLessThan(full.macs.run);
});

test('questions, freely and among given answers', async () => {
  const question = [picture, 'what dessert is in the picture?', ...wasm, '--jsonl', '--beam', '1'];
  const answers = path.join(folder, 'answers.txt');
  fs.writeFileSync(answers, 'cookie\r\ncake\n\nice cream\n');
  const ask = async (...options: string[]): Promise<CaptionJson> =>
    captionSchema.parse(JSON.parse((await mueCommand(['ask', ...question, ...options])).stdout));
  expect((await ask()).text).toBe('cupcake');
  const trie = await ask('--answers', answers);
  expect(['cookie', 'cake', 'ice cream']).toContain(trie.text);
  const scored = await ask('--answers', answers, '--method', 'all-candidates');
  expect(scored.hypotheses.map(({text}) => text).sort()).toEqual(['cake', 'cookie', 'ice cream']);
  expect(scored.text).toBe(scored.hypotheses[0]?.text);
});

test('the demo writes one page that needs nothing else', async () => {
  const page = path.join(folder, 'demo.html');
  const {code, stdout} = await mueCommand(['demo', ...wasm, '--pictures', '2', '--out', page]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/01\.png +[\d.]+\/[\d.]+\/[\d.]+ +−\d+ % +\d\.\d\d → \d\.\d\d G \(−\d+ %\)/);
  expect(stdout).toMatch(/the ResNet is 2\.00 of the \d\.\d\d GMAC/);
  const html = fs.readFileSync(page, 'utf8');
  expect(html.match(/<img /g)).toHaveLength(2);
  expect(html).not.toMatch(/(?:src|href)="(?!data:)|url\(|@import/);
  expect(html).toContain('two big cupcakes in a room');
  expect(html).toMatch(/data-tip="decoder, step 1, layer 2 of 6: similarity 0\.\d{4}, threshold 0\.9400/);
  expect(fs.readdirSync(folder)).not.toContain('demo.html.partial');
});

test('inspect shows the configuration and the parameters by part', async () => {
  const {code, stdout} = await mueCommand(['inspect', '--no-tensors']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/parameters +17,069,464/);
  expect(stdout).not.toContain('encoder.layers.0.fc1.weight');
  const {stdout: json} = await mueCommand(['inspect', '--json']);
  expect(JSON.parse(json)).toMatchObject({
    kind: 'model',
    problem: null,
    parameters: 17_069_464,
    config: {train_mue: true},
  });
});
