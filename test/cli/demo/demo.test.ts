import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {mueCommand} from '../../support/cli/mue-command.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-demo-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));

test('mue demo: prints a row for an image, and writes a page that needs nothing else', async () => {
  const page = path.join(folder, 'demo.html');
  const {code, stdout} = await mueCommand(['demo', '--device', 'wasm', '--pictures', '1', '--out', page]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/01\.png +[\d.]+\/[\d.]+\/[\d.]+ +−\d+ % +\d\.\d\d → \d\.\d\d G \(−\d+ %\)/);
  expect(stdout).toMatch(/the ResNet is 2\.00 of the \d\.\d\d GMAC/);
  expect(stdout).toMatch(
    /retrieval \(scenes-coca\): 1 of 1 pictures found by a caption at full depth, 1 with early exit after 3 of 6 layers; MACs 0\.88 → 0\.47 G/,
  );
  const html = fs.readFileSync(page, 'utf8');
  expect(html.match(/<img /g)).toHaveLength(1);
  expect(html).not.toMatch(/(?:src|href)="(?!data:)|url\(|@import/);
  expect(html).toContain('two big cupcakes in a room');
  expect(html).toContain('Which picture does a caption find?');
  expect(html).toMatch(/data-tip="decoder, step 1, layer 2 of 6: similarity 0\.\d{4}, threshold 0\.9400/);
  expect(fs.readdirSync(folder)).not.toContain('demo.html.partial');
});
