import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {explanationSchema} from '../../../src/cli/schemas/explanation.js';
import {mueCommand} from '../../support/cli/mue-command.js';
import {runMue} from '../../support/cli/run-mue.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-explain-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));

test("mue explain: a caption's words and layers at full depth, with the exits of the plan, also as a page", async () => {
  const page = path.join(folder, 'page.html');
  const drawing = path.join(folder, 'page.svg');
  const args = [
    'explain',
    'examples/pictures/01.png',
    '--device',
    'wasm',
    '--max-new-tokens',
    '3',
    '--html',
    page,
    '--svg',
    drawing,
  ];
  const {code, stdout} = await mueCommand([...args, '--json']);
  expect(code).toBe(0);
  const explained = JSON.parse(stdout);
  explanationSchema.parse(explained);
  expect(explained).toMatchObject({task: 'caption', answer: 'two big cup', policy: 'similarity'});
  expect(explained.encoder).toMatchObject([
    {stack: 'encoder.text', exit: 1, depth: 6},
    {stack: 'encoder.image', exit: 4, depth: 6},
  ]);
  expect(explained.decoder.map(({token}: {token: string}) => token)).toEqual([' two', ' big', ' cup', 'end']);
  for (const {layers, exit, depth} of explained.decoder) {
    expect(layers).toHaveLength(6);
    expect(layers[5].agrees).toBe(true);
    // The exit is where the similarity passes the plan's 0.94 for the first time, the last layer aside.
    const first = layers.slice(0, depth - 1).find(({similarity}: {similarity: number}) => similarity > 0.94);
    expect(exit).toBe(first?.layer ?? null);
  }
  expect(explained.decoder[0].layers[0]).toMatchObject({top: ' two'});
  const html = fs.readFileSync(page, 'utf8');
  expect(fs.readFileSync(drawing, 'utf8')).toContain('cup');
  expect(html).toContain('src="data:image/png;base64,');
  expect(html).not.toMatch(/(?:src|href)="(?!data:)|url\(|@import/);
  expect(html.match(/<td class="c[ "]/g)).toHaveLength(24);
});

test('mue explain --task entail: one row of the three answers, no colours outside of a terminal, texts escaped', async () => {
  const page = path.join(folder, 'entail.html');
  const args = [
    'explain',
    'examples/pictures/09.png',
    'there is a <b>coconut</b> in the sky',
    '--task',
    'entail',
    '--device',
    'wasm',
  ];
  const {code, stdout} = await mueCommand([...args, '--html', page, '--exit', 'never']);
  expect(code).toBe(0);
  expect(stdout).not.toContain('\x1b');
  expect(stdout).toMatch(/^ {2}no {6}(?:.no +\d\.\d\d ){6}6\/6$/m);
  expect(stdout).not.toContain('▸0');
  expect(fs.readFileSync(page, 'utf8')).toContain('&#60;b&#62;coconut&#60;/b&#62;');
});

test.each([
  ['text-missing', ['examples/pictures/01.png', '--task', 'entail'], 2],
  ['text-unused', ['examples/pictures/01.png', 'why?'], 2],
  ['image-unreadable', ['none.png'], 1],
])('mue explain: ends with %s for %j', async (expected, args, code) => {
  const result = await runMue(['explain', ...args]);
  expect(result.stderr).toContain(`error [${expected}]`);
  expect(result.code).toBe(code);
});
