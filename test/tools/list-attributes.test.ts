import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';

type Module = {withListAttributes(source: string): string};
const load = async (): Promise<Module> =>
  (await import(new URL('../../tools/native/list-attributes.mjs', import.meta.url).href)) as Module;

test('withListAttributes: the source takes lists of words and of types, and keeps all else', async () => {
  const {withListAttributes} = await load();
  const home = path.dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu/package.json'));
  const source = fs.readFileSync(path.join(home, 'binding/tfjs_backend.cc'), 'utf8');
  const changed = withListAttributes(source);
  expect(changed).toMatch(/case TF_ATTR_STRING: \{\s+if \(IsArray\(/);
  expect(changed).toMatch(/case TF_ATTR_TYPE: \{\s+if \(IsArray\(/);
  const lines = changed.split('\n');
  expect(source.split('\n').filter((line) => !lines.includes(line))).toEqual([]);
});

test('withListAttributes: refuses another source', async () => {
  const {withListAttributes} = await load();
  expect(() => withListAttributes('int main() {}')).toThrow("wanted 'case TF_ATTR_STRING: {' once, found it 0 times");
  expect(() => withListAttributes('case TF_ATTR_STRING: {case TF_ATTR_STRING: {')).toThrow('found it 2 times');
});
