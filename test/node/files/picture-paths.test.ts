import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {picturePaths} from '../../../src/node/files/picture-paths.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-pictures-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
for (const name of [
  'b.png',
  'a.JPG',
  'c10.tif',
  'notes.txt',
  'x[1].png',
  '.hidden.png',
  'sub/d.png',
  'sub/deep/e.png',
]) {
  fs.mkdirSync(path.dirname(path.join(root, name)), {recursive: true});
  fs.writeFileSync(path.join(root, name), '');
}
const found = (...names: string[]) =>
  picturePaths(names.map((name) => path.join(root, name))).map((file) => path.relative(root, file));

test.each<[string, string[]]>([
  ['', ['.hidden.png', 'a.JPG', 'b.png', 'c10.tif', 'x[1].png']],
  ['*.png', ['b.png', 'x[1].png']],
  ['?.png', ['b.png']],
  ['[!b]*.*[gf]', ['c10.tif', 'x[1].png']],
  ['x[1].png', ['x[1].png']],
  ['s*/*.png', ['sub/d.png']],
  ['**/*.png', ['b.png', 'x[1].png', 'sub/d.png', 'sub/deep/e.png']],
  ['none*.png', ['none*.png']],
  ['missing.png', ['missing.png']],
  ['a(b.png', ['a(b.png']],
])('picturePaths: %j', (name, files) => {
  expect(found(name)).toEqual(files);
});

test('picturePaths: several names, in their order; - stays', () => {
  expect(found('b.png', 'sub')).toEqual(['b.png', 'sub/d.png']);
  expect(picturePaths(['-', 'https://example.org/a.png?x=1'])).toEqual(['-', 'https://example.org/a.png?x=1']);
});

test.each([
  'nul\0.png',
  'nul\0*.png',
  `${'long'.repeat(1000)}.png`,
  `${'long'.repeat(1000)}/*.png`,
  'b.png/inside.png',
  'b.png/*.png',
])('picturePaths: a name that no file can have stands for itself: %j', (name) => {
  expect(picturePaths([`${root}/${name}`])).toEqual([`${root}/${name}`]);
});
