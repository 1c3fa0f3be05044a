// Puts the command line into one file, dist/cli/bundle.cjs, and writes dist/cli/mue.cjs, which is what `mue` runs; a part
// of `npm run build`. A process that answers about one picture would otherwise find, read and compile some 350 files.
// The files of dist that are entered by path (workers, the library) stay as they are.
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {transformSync} from '@swc/core';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const ENTRY = path.join(DIST, 'cli/main.js');
/** Packages of many small files, and those that `require` cannot load everywhere: bundled, with their licence. */
const BUNDLED = ['entities', 'zod'];
/** Parts of the union package of TensorFlow.js that this program never uses, a third of what that would load. */
const UNUSED = ['@tensorflow/tfjs-backend-webgl', '@tensorflow/tfjs-converter', '@tensorflow/tfjs-data'];

/** The file that an import leads to; undefined for what stays outside. @param {string} specifier @param {string} from */
function bundledFile(specifier, from) {
  if (specifier.startsWith('.')) return path.resolve(path.dirname(from), specifier);
  return BUNDLED.includes(specifier) ? fileURLToPath(import.meta.resolve(specifier)) : undefined;
}

/** Names of modules in the bundle, which are where they lie beside dist/cli. @param {string} file */
const nameOf = (file) => path.relative(path.join(DIST, 'cli'), file).split(path.sep).join('/');

/** Every bundled file as the body of a CommonJS module, by its name. @type {Map<string, string>} */
const modules = new Map();
const waiting = [ENTRY];
for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
  if (modules.has(nameOf(file))) continue;
  const from = file;
  /** @param {string} whole @param {string} specifier @param {(id: string) => string} load */
  const link = (whole, specifier, load) => {
    const target = bundledFile(specifier, from);
    if (target === undefined) return whole;
    waiting.push(target);
    return load(JSON.stringify(nameOf(target)));
  };
  const {code} = transformSync(fs.readFileSync(file, 'utf8').replace(/^#!.*/, ''), {
    filename: file,
    swcrc: false,
    configFile: false,
    // Without white space and comments; names stay, for traces of errors.
    minify: true,
    jsc: {
      target: 'es2022',
      parser: {syntax: 'ecmascript'},
      minify: {compress: false, mangle: false},
      externalHelpers: true,
    },
    module: {type: 'commonjs', importInterop: 'swc', ignoreDynamic: true},
  });
  modules.set(
    nameOf(file),
    code
      .replace(/\brequire\("@swc\/helpers\/_\/(\w+)"\)/g, (_, name) => `$helpers.${name}`)
      .replace(/\brequire\("([^"]+)"\)/g, (whole, id) => link(whole, id, (name) => `$load(${name})`))
      .replace(/\bimport\(['"]([^'"]+)['"]\)/g, (whole, id) =>
        link(whole, id, (name) => `Promise.resolve($load(${name}))`),
      ),
  );
}

const licences = BUNDLED.map((name) => {
  const folder = fileURLToPath(new URL(`../node_modules/${name}/`, import.meta.url));
  return `/*! ${name}\n${fs.readFileSync(path.join(folder, 'LICENSE'), 'utf8').trim()}\n*/\n`;
});
const bodies = [...modules].map(
  ([name, code]) =>
    // The entry waits at its top level, which a CommonJS module cannot.
    `${JSON.stringify(name)}: ${name === nameOf(ENTRY) ? 'async ' : ''}(exports, module, __filename) => {\n${code}\n},\n`,
);
fs.writeFileSync(
  path.join(DIST, 'cli/bundle.cjs'),
  `${licences.join('')}'use strict';
const Module = require('node:module');
const path = require('node:path');
const tensorflow = Module.createRequire(require.resolve('@tensorflow/tfjs'));
for (const name of ${JSON.stringify(UNUSED)}) {
  const file = tensorflow.resolve(name);
  require.cache[file] = Object.assign(new Module(file), {loaded: true});
}
const $helpers = {
  _interop_require_default: {_: (module) => (module.__esModule ? module : {default: module})},
  // A namespace is the exports themselves: copies of TensorFlow.js' thousand names for each file would take long.
  _interop_require_wildcard: {_: (module) => module},
  _export_star: {
    _: (from, to) => {
      for (const name of Object.keys(from))
        if (name !== 'default' && !(name in to)) Object.defineProperty(to, name, {enumerable: true, get: () => from[name]});
      return from;
    },
  },
};
const loaded = new Map();
function $load(name) {
  let module = loaded.get(name);
  if (module === undefined) {
    module = {exports: {}};
    loaded.set(name, module);
    MODULES[name](module.exports, module, path.join(__dirname, name));
  }
  return module.exports;
}
const MODULES = {
${bodies.join('')}};
$load(${JSON.stringify(nameOf(ENTRY))});
`,
);
fs.writeFileSync(
  path.join(DIST, 'cli/mue.cjs'),
  `#!/usr/bin/env node
'use strict';
// Node 22 keeps what it compiles from one run to the next; it must be told before the rest is loaded.
require('node:module').enableCompileCache?.();
require('./bundle.cjs');
`,
);
fs.chmodSync(path.join(DIST, 'cli/mue.cjs'), 0o755);
