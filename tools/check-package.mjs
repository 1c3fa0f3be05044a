// Packs this project, installs the package in a fresh one (its dependencies come from the registry, nothing is built),
// and uses it there: README's sample as plain JavaScript on each Node, `import` and `require`, the command, the types as
// several resolvers read them; and every link of its pages must lead to a packed file.
// usage: npm run build && node tools/check-package.mjs [major versions of Node, such as 20 22 24; default: this one]
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const project = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-package-'));
process.on('exit', () => fs.rmSync(project, {recursive: true, force: true}));
const quiet = ['--no-audit', '--no-fund', '--loglevel', 'error'];

/**
 * Runs a program in the fresh project. @param {string} program @param {readonly string[]} args
 * @returns {string} its stdout
 */
const run = (program, ...args) =>
  execFileSync(program, args, {cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
/** @param {string} name @param {string} text */
const write = (name, text) => fs.writeFileSync(path.join(project, name), text);
/** @param {boolean} holds @param {string} what */
function check(holds, what) {
  console.log(`${holds ? 'ok' : 'FAILED'}: ${what}`);
  if (!holds) process.exitCode = 1;
}

const packed = execFileSync('npm', ['pack', '--json', '--pack-destination', project, ...quiet], {
  cwd: ROOT,
  encoding: 'utf8',
});
const [{filename, files}] = /** @type {[{filename: string, files: {path: string}[]}]} */ (JSON.parse(packed));
const names = new Set(files.map((file) => file.path));
const readme = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const places = new Set(
  [...names].flatMap((name) => name.split('/').map((_, i, parts) => parts.slice(0, i + 1).join('/'))),
);
for (const page of [...names].filter((name) => name.endsWith('.md'))) {
  // Code, which may hold what looks like a link, is none.
  const text = fs.readFileSync(path.join(ROOT, page), 'utf8').replace(/`[^`\n]*`/g, '');
  const lost = [...text.matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)/g)]
    .map(([, link = '']) => path.posix.join(path.posix.dirname(page), link).replace(/\/$/, ''))
    .filter((target) => !places.has(target));
  check(
    lost.length === 0,
    `${page}: ${lost.length === 0 ? 'its links lead to packed files' : `links to ${lost.join(', ')}`}`,
  );
}

write('package.json', JSON.stringify({private: true, version: '1.0.0'}));
run('npm', 'install', '--ignore-scripts', '--omit', 'optional', ...quiet, path.join(project, filename));
fs.symlinkSync('node_modules/mue-tfjs/examples', path.join(project, 'examples'));

const sample = readme.match(/```js\n(.*?)```/s)?.[1] ?? '';
write('sample.mjs', sample);
write(
  'esm.mjs',
  "import {DEVICES} from 'mue-tfjs/node';\nimport {never} from 'mue-tfjs';\nconsole.log(DEVICES.includes('wasm'), typeof never);\n",
);
write(
  'common.cjs',
  "const {version} = require('mue-tfjs/package.json');\nconst schema = require('mue-tfjs/schemas/exit-plan.json');\nimport('mue-tfjs').then(({never}) => console.log(version, schema.$id, typeof never));\n",
);
const {version} = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
for (const major of process.argv.slice(2).length > 0 ? process.argv.slice(2) : [undefined]) {
  if (major) run('npm', 'install', '--no-save', '--prefix', `node-${major}`, ...quiet, `node@${major}`);
  const node = major ? path.join(project, `node-${major}/node_modules/node/bin/node`) : process.execPath;
  const name = `Node ${run(node, '--version').trim()}`;
  check(/two big cupcakes in a room/.test(run(node, 'sample.mjs')), `${name}: README's sample`);
  check(run(node, 'esm.mjs') === 'true object\n', `${name}: import`);
  check(
    run(node, 'common.cjs') === `${version} mue-tfjs/schemas/exit-plan.json object\n`,
    `${name}: require of JSON, import() from CommonJS`,
  );
  const mue = fs.realpathSync(path.join(project, 'node_modules/.bin/mue'));
  check(run(node, mue, '--version') === `${version}\n`, `${name}: mue --version`);
  check(
    run(node, mue, 'caption', '-q', 'examples/pictures/01.png') === 'two big cupcakes in a room\n',
    `${name}: mue caption`,
  );
}

write('typed.mts', `${sample}\nimport type {Answer, LoadProgress} from 'mue-tfjs/node';\n`.replace('Answer, ', ''));
const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
const types = [
  '--noEmit',
  '--strict',
  '--skipLibCheck',
  '--target',
  'es2022',
  '--lib',
  'es2023,dom,esnext.disposable',
  '--types',
  'node',
  '--typeRoots',
  path.join(ROOT, 'node_modules/@types'),
];
for (const [module, resolution] of [
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
])
  check(
    run(
      process.execPath,
      tsc,
      ...types,
      '--module',
      module ?? '',
      '--moduleResolution',
      resolution ?? '',
      'typed.mts',
    ) === '',
    `types as ${resolution} reads them`,
  );
