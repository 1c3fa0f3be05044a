import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';

type Module = {CHANGED_SOURCES: readonly string[]; changedSource(name: string, source: string): string};
const load = async (): Promise<Module> =>
  (await import(new URL('../../tools/native/binding-sources.mjs', import.meta.url).href)) as Module;
const home = path.dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu/package.json'));
const original = (name: string): string => fs.readFileSync(path.join(home, 'binding', name), 'utf8');

test('changedSource: every source keeps all its lines and gets others', async () => {
  const {CHANGED_SOURCES, changedSource} = await load();
  expect(CHANGED_SOURCES).toHaveLength(3);
  for (const name of CHANGED_SOURCES) {
    const source = original(name);
    const lines = changedSource(name, source).split('\n');
    expect(source.split('\n').filter((line) => !lines.includes(line))).toEqual([]);
    expect(lines.length).toBeGreaterThan(source.split('\n').length);
  }
});

test('changedSource: attributes may be lists, and functions be registered', async () => {
  const {changedSource} = await load();
  const backend = changedSource('tfjs_backend.cc', original('tfjs_backend.cc'));
  expect(backend).toMatch(/case TF_ATTR_STRING: \{\s+if \(IsArray\(/);
  expect(backend).toMatch(/case TF_ATTR_TYPE: \{\s+if \(IsArray\(/);
  expect(backend).toContain('TFE_ContextAddFunctionDef(tfe_context_');
  expect(changedSource('tfjs_binding.cc', original('tfjs_binding.cc'))).toContain('{"addFunctionDef", nullptr,');
});

test('changedSource: refuses another source', async () => {
  const {changedSource} = await load();
  expect(() => changedSource('tfjs_backend.h', 'class TFJSBackend {}')).toThrow(
    "tfjs_backend.h: wanted '  napi_value GetNumOfTensors(' once, found it 0 times",
  );
  const twice = '  napi_value GetNumOfTensors(  napi_value GetNumOfTensors(';
  expect(() => changedSource('tfjs_backend.h', twice)).toThrow('found it 2 times');
});
