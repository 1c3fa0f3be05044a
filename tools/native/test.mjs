// npm run test:native [-- gpu]: numerics of every operation used, the project's goldens, and tfjs-core's own suite on a
// native build.
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const kind = process.argv.includes('gpu') ? 'gpu' : 'cpu';
if (!fs.existsSync(path.join(root, '.native', kind, 'tfjs_binding.node'))) {
  console.log(`test:native skipped: .native/${kind} is not built (npm run native -- ${kind})`);
  process.exit(0);
}
const device = kind === 'gpu' ? 'cuda' : 'native';
// A test's process.env is a copy of its own: what TensorFlow and CUDA read must stand outside. Several workers share
// the GPU's memory.
const gpu = kind === 'gpu' ? {TF_FORCE_GPU_ALLOW_GROWTH: 'true', NVIDIA_TF32_OVERRIDE: '0'} : {};
const env = {...gpu, ...process.env, MUE_TEST_BACKEND: device, MUE_TEST_NATIVE: device};
const jest = [
  '--experimental-vm-modules',
  '--no-warnings',
  'node_modules/jest/bin/jest.js',
  'test/node/backends/native',
  'test/golden',
];
for (const args of [jest, ['tools/native/core-suite.mjs', kind]]) {
  const {status, signal} = spawnSync(process.execPath, args, {cwd: root, env, stdio: 'inherit'});
  if (status !== 0) {
    console.error(`test:native: ${args.find((a) => a.includes('/'))} ended with ${signal ?? status}`);
    process.exitCode = 1;
  }
}
