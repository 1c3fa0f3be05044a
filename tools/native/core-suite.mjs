// Runs tfjs-core's own test suite on a native build, with this project's kernels, without the tests that tfjs-node
// itself ignores.
// usage: node tools/native/core-suite.mjs [cpu|gpu] [part of a test's name]; exit code 1 if a test fails that is not in
//   KNOWN.
//
// tfjs-core ships its tests as ES modules without saying so (`.js`, no "type"), and the tests have to meet the same
// tfjs-core as the backend: so everything is loaded as CommonJS, translated on the way, and every import of tfjs is led
// to tfjs-core's dist/index.js.
import fs from 'node:fs';
import NodeModule, {createRequire} from 'node:module';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import util from 'node:util';
import {transformSync} from '@swc/core';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const require = createRequire(import.meta.url);
/** Node's loader of CommonJS, whose hooks have no types. @type {any} */
const Module = NodeModule;
const kind = process.argv[2] === 'gpu' ? 'gpu' : 'cpu';
const part = process.argv[3] ?? '';
process.env.TF_CPP_MIN_LOG_LEVEL ??= '3';
process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true';
process.env.NVIDIA_TF32_OVERRIDE ??= '0';
const old = /** @type {any} */ (util);
old.isNullOrUndefined ??= (/** @type {unknown} */ x) => x === null || x === undefined;
old.isArray ??= Array.isArray;

/** Tests that fail with TensorFlow 2.21, each in an operation or a type that the models do not use. */
const ROUND = 'round test-tensorflow {} int32';
const KNOWN = {cpu: [ROUND], gpu: [ROUND, 'bincount', 'depthwise', 'exp test-tensorflow {} int32']};

const core = path.dirname(require.resolve('@tensorflow/tfjs-core/package.json'));
const node = path.dirname(require.resolve('@tensorflow/tfjs-node-gpu/package.json'));
const ours = path.join(ROOT, 'dist');
const resolve = Module._resolveFilename;
Module._resolveFilename = (/** @type {string} */ request, /** @type {unknown[]} */ ...rest) =>
  ['@tensorflow/tfjs', '@tensorflow/tfjs-core'].includes(request)
    ? path.join(core, 'dist/index.js')
    : resolve(request, ...rest);
const load = Module._extensions['.js'];
Module._extensions['.js'] = (/** @type {any} */ module, /** @type {string} */ file) => {
  if (file.startsWith(path.join(core, 'dist') + path.sep) || file.startsWith(ours + path.sep)) {
    /** @type {import('@swc/core').Options} */
    const options = {filename: file, module: {type: 'commonjs'}, jsc: {target: 'es2021'}, isModule: true, swcrc: false};
    return module._compile(transformSync(fs.readFileSync(file, 'utf8'), options).code, file);
  }
  // Classes compiled to ES5 that extend one that is not.
  if (file.includes(`${path.sep}@tensorflow${path.sep}`)) {
    const code = fs
      .readFileSync(file, 'utf8')
      .replaceAll(/_super\.call\(this\) \|\| this/g, 'Reflect.construct(_super, [], new.target)');
    return module._compile(code, file);
  }
  return load(module, file);
};

/** @type {any} */
const jasmineRequire = createRequire(import.meta.url)('jasmine-core');
const jasmine = jasmineRequire.boot();
const env = jasmine.getEnv();
require(path.join(core, 'dist/public/chained_ops/register_all_chained_ops.js'));
require(path.join(core, 'dist/register_all_gradients.js'));
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-cpu');
require(path.join(node, 'dist/register_all_kernels.js'));
const {NodeJSKernelBackend} = require(path.join(node, 'dist/nodejs_kernel_backend.js'));
const capture = require(path.join(ROOT, '.native', kind, 'stderr_capture.node'));
capture.begin();
const binding = require(path.join(ROOT, '.native', kind, 'tfjs_binding.node'));
capture.end();
tf.registerBackend(
  'tensorflow',
  () => new NodeJSKernelBackend(binding, `@tensorflow/tfjs-node${kind === 'gpu' ? '-gpu' : ''}`),
  3,
);
let operations = 0;
for (const name of ['executeSingleOutput', 'executeMultipleOutputs']) {
  const original = NodeJSKernelBackend.prototype[name];
  NodeJSKernelBackend.prototype[name] = function (/** @type {unknown[]} */ ...args) {
    operations++;
    return original.apply(this, args);
  };
}
tf.setBackend('tensorflow');
/** @type {typeof import('../../dist/node/backends/native/kernels.js')} */
const {patchNativeKernels} = require(path.join(ours, 'node/backends/native/kernels.js'));
patchNativeKernels();

const {setTestEnvs} = require(path.join(core, 'dist/jasmine_util.js'));
setTestEnvs([{name: 'test-tensorflow', backendName: 'tensorflow', flags: {}, isDataSync: true}]);
require(path.join(core, 'dist/tests.js'));

const upstream = fs
  .readFileSync(path.join(node, 'dist/run_tests.js'), 'utf8')
  .match(/IGNORE_LIST = \[([\s\S]*?)\n\];/)?.[1];
if (upstream === undefined) throw new Error('run_tests.js of tfjs-node has no IGNORE_LIST');
const ignored = [...upstream.matchAll(/^ {4}'(.*)',$/gm)].map(([, name = '']) => name);
const count = {passed: 0, failed: 0, known: 0, ignored: 0};
/** @type {string[]} */
const failures = [];
env.configure({
  random: false,
  specFilter: (/** @type {{getFullName(): string}} */ spec) => {
    const name = spec.getFullName();
    if (!name.includes(part)) return false;
    const skip = ignored.some((x) => name.includes(x));
    if (skip) count.ignored++;
    return !skip;
  },
});
env.addReporter({
  specDone: (/** @type {{fullName: string, status: string, failedExpectations: {message: string}[]}} */ spec) => {
    const {fullName, status, failedExpectations} = spec;
    if (status === 'passed') count.passed++;
    if (status !== 'failed') return;
    const known = KNOWN[kind].some((x) => fullName.includes(x));
    count[known ? 'known' : 'failed']++;
    failures.push(`${known ? 'known ' : 'FAILED'} ${fullName}: ${failedExpectations[0]?.message.slice(0, 200)}`);
  },
});
console.error(
  `tfjs-core ${tf.version_core} on ${tf.getBackend()}, TensorFlow ${binding.TF_Version}, ${binding.isUsingGpuDevice() ? 'GPU' : 'CPU'}`,
);
console.warn = () => {};
const print = console.log;
console.log = () => {}; // tests of the profiler print tables
await env.execute();
console.log = print;
for (const failure of failures) console.log(failure);
console.log(
  `${count.passed} passed, ${count.failed} failed, ${count.known} failed as known, ${count.ignored} on tfjs-node's ignore list`,
);
console.log(`${operations} operations of TensorFlow`);
process.exit(count.failed > 0 || count.passed === 0 || operations < count.passed / 2 ? 1 : 0);
