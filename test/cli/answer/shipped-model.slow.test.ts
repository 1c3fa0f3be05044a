import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  type CaptionJson,
  captionSchema,
  type EntailmentJson,
  entailmentSchema,
} from '../../support/cli/answer-schema.js';
import {runMue} from '../../support/cli/run-mue.js';

// The shipped model through the command line, as in the README.
const picture = 'examples/pictures/01.png';
const wasm = ['--device', 'wasm'];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-shipped-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));

test('mue caption: an image is told on several lines, several on one line each', async () => {
  const {code, stdout} = await runMue(['caption', picture, ...wasm]);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^examples\/pictures\/01\.png\n {2}two big cupcakes in a room\n\n {2}layers {2}image [\d.]+\/6, text [\d.]+\/6, decoder [\d.]+\/6\n/,
  );
  expect(stdout).toMatch(
    /\n {2}MACs +\d\.\d\d of \d\.\d\d G \([\d.]+ % saved\)\n {2}time +\d+ ms \(.*; model loaded in \d+ ms\n$/,
  );
  const images = [picture, 'examples/pictures/12.png'];
  const both = await runMue(['caption', ...images, ...wasm, '--exit', 'never', '--stream']);
  expect(both.stdout.trimEnd().split('\n')).toEqual([
    expect.stringMatching(
      /01\.png {2}two big cupcakes in a room {2}\[image 6\/6, text 6\/6, decoder 6\/6; 0 % of MACs saved; \d+ ms\]$/,
    ),
    expect.stringMatching(/12\.png {2}three footballs and a curtain in the sea {2}\[/),
  ]);
  expect(both.stderr).toContain('  ██████ 6/6  two big cup\n');
});

test('mue caption --exit lossless: the answer of never, and what was drafted', async () => {
  const ask = async (...options: string[]): Promise<string> =>
    (await runMue(['caption', picture, ...wasm, '--num-beams', '1', ...options])).stdout;
  expect(await ask('--exit', 'lossless')).toMatch(
    /\n {2}drafts {2}\d+ tokens run for \d+ kept, verified in \d+ rounds; \d+ layer calls\n/,
  );
  const [never, lossless] = await Promise.all(
    ['never', 'lossless'].map(async (exit) => captionSchema.parse(JSON.parse(await ask('--exit', exit, '--json')))),
  );
  expect(lossless).toMatchObject({text: never!.text, tokens: never!.tokens, layers: never!.layers});
  expect(never).not.toHaveProperty('drafting');
  expect(lossless!.drafting!.layerCalls).toBeLessThan(6 * lossless!.drafting!.kept);
});

test("mue entail: MACs grow from the model's plan over the release's to full depth", async () => {
  const ask = async (...exit: string[]): Promise<EntailmentJson> => {
    const {stdout} = await runMue(['entail', picture, 'there are two cupcakes', ...wasm, '--json', ...exit]);
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

test('mue ask: answers freely, among given answers, or scores each of them', async () => {
  const question = [picture, 'what dessert is in the picture?', ...wasm, '--jsonl', '--beam', '1'];
  const answers = path.join(folder, 'answers.txt');
  fs.writeFileSync(answers, 'cookie\r\ncake\n\nice cream\n');
  const ask = async (...options: string[]): Promise<CaptionJson> =>
    captionSchema.parse(JSON.parse((await runMue(['ask', ...question, ...options])).stdout));
  expect((await ask()).text).toBe('cupcake');
  const trie = await ask('--answers', answers);
  expect(['cookie', 'cake', 'ice cream']).toContain(trie.text);
  const scored = await ask('--answers', answers, '--method', 'all-candidates');
  expect(scored.hypotheses.map(({text}) => text).sort()).toEqual(['cake', 'cookie', 'ice cream']);
  expect(scored.text).toBe(scored.hypotheses[0]?.text);
});
