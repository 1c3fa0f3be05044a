import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

// `npm run floors` on trees that break its rules.

const root = path.join(import.meta.dirname, '..', '..');
const trees = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-floors-'));
afterAll(() => fs.rmSync(trees, {recursive: true}));

/**
 * Writes a tree of files by path and content.
 * @returns its folder
 */
function tree(name: string, files: Readonly<Record<string, string>>): string {
  const folder = path.join(trees, name);
  for (const [file, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), {recursive: true});
    fs.writeFileSync(path.join(folder, file), content);
  }
  return folder;
}

/** Runs a script of Node's. */
function run(script: string, args: readonly string[], cwd: string): {status: number | null; out: string; err: string} {
  const {status, stdout, stderr} = spawnSync(process.execPath, [path.join(root, script), ...args], {
    cwd,
    encoding: 'utf8',
  });
  return {status, out: stdout, err: stderr};
}

test('.dependency-cruiser.mjs: finds a violation of every rule, and no other', () => {
  const imports = (...from: string[]): string => `${from.map((name) => `import '${name}';\n`).join('')}export {};\n`;
  const folder = tree('rules', {
    'tsconfig.json': '{"compilerOptions": {"module": "nodenext"}}',
    // Downwards, as it should be.
    'src/data/lines.ts': imports(),
    'src/exit/policy.ts': imports('../data/lines.js', '../nn/block.js'),
    'src/nn/block.ts': imports(),
    'src/node/model.ts': imports('node:fs', '../exit/policy.js'),
    'src/node.ts': imports('./node/model.js'),
    // A circle, upwards, sideways, the platform.
    'src/data/first.ts': imports('./second.js'),
    'src/data/second.ts': "import type {} from './first.js';\nexport {};\n",
    'src/data/upwards.ts': imports('../exit/policy.js'),
    'src/nn/sideways.ts': imports('../data/lines.js'),
    'src/tasks/platform.ts': imports('node:fs', '@tensorflow/tfjs-backend-wasm'),
    'src/index.ts': imports('./node/model.js'),
    // Families of models, and a room without a floor.
    'src/models/coca/model.ts': imports(),
    'src/models/ofa/model.ts': imports('../coca/model.js'),
    'src/generation/search.ts': imports('../models/coca/model.js'),
    'src/attic/box.ts': imports('../data/lines.js'),
  });
  const config = path.join(root, '.dependency-cruiser.mjs');
  const cruise = run(
    'node_modules/dependency-cruiser/bin/dependency-cruise.mjs',
    ['src', '--config', config, '--output-type', 'json'],
    folder,
  );
  const {summary} = JSON.parse(cruise.out) as {
    summary: {violations: {from: string; to: string; rule: {name: string}}[]};
  };
  expect(summary.violations.map(({from, rule, to}) => `${from} ${rule.name} ${to}`).sort()).toEqual([
    'src/attic/box.ts every-room-has-a-floor src/data/lines.ts',
    'src/data/first.ts no-circle src/data/second.ts',
    'src/data/upwards.ts floor-of-data src/exit/policy.ts',
    'src/generation/search.ts families-stay-behind-their-interface src/models/coca/model.ts',
    'src/index.ts index-runs-anywhere src/node/model.ts',
    'src/models/ofa/model.ts families-share-no-code src/models/coca/model.ts',
    'src/nn/sideways.ts floor-of-nn src/data/lines.ts',
    'src/tasks/platform.ts platform-backends @tensorflow/tfjs-backend-wasm',
    'src/tasks/platform.ts platform-node fs',
  ]);
});

test('check-rooms: a folder has at most 18 files of source, data apart', () => {
  const files = (folder: string, count: number): Record<string, string> =>
    Object.fromEntries(Array.from({length: count}, (_, i) => [`${folder}/${i}.ts`, '']));
  const folder = tree('rooms', {
    ...files('src/full', 18),
    ...files('test/golden', 30),
    ...files('bench', 1),
    ...files('tools', 1),
    'src/full/readme.md': '',
  });
  expect(run('tools/check-rooms.mjs', [folder], root)).toMatchObject({status: 0, err: ''});
  fs.writeFileSync(path.join(folder, 'src/full/18.ts'), '');
  expect(run('tools/check-rooms.mjs', [folder], root)).toMatchObject({
    status: 1,
    err: `${path.join('src', 'full')} has 19 files; a room has at most 18.\n`,
  });
});
