import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../../src/node/backends/select.js';
import {doctor} from '../../../../src/node/backends/doctor.js';
import {missingCudaLibraries, NATIVE_FOLDER} from '../../../../src/node/backends/native/binding.js';

const built = path.join(NATIVE_FOLDER, 'cpu');
const here = fs.existsSync(path.join(built, 'tfjs_binding.node'));
if (!here) console.warn('native/binding.test: skipped, .native/cpu is not built (npm run native)');
const testNative = here ? test : test.skip;

// A library once loaded stays in its process: what depends on loading is tried in processes of its own.
const child = fileURLToPath(new URL('../../../../dist/node/backends/doctor-child.js', import.meta.url));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-native-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));

test('missingCudaLibraries: looks beside the build and on the search path, and names what is absent', () => {
  const build = path.join(folder, 'cuda');
  const put = (file: string): void => {
    fs.mkdirSync(path.dirname(path.join(build, file)), {recursive: true});
    fs.writeFileSync(path.join(build, file), '');
  };
  const all = missingCudaLibraries(build, '');
  // A machine with CUDA 12 installed lacks none of them.
  expect(all.every((name) => /^lib\w+\.so\.\d+$/.test(name))).toBe(true);
  put('nvidia/cuda_runtime/lib/libcudart.so.12');
  put('elsewhere/libcudnn.so.9');
  const fewer = missingCudaLibraries(build, `/none:${path.join(build, 'elsewhere')}`);
  expect(fewer).toEqual(all.filter((name) => name !== 'libcudart.so.12' && name !== 'libcudnn.so.9'));
  expect(fewer).not.toContain('libcudart.so.12');
});

testNative('loadNativeBinding: a binding without its library names the library', async () => {
  fs.mkdirSync(path.join(folder, 'alone/cpu'), {recursive: true});
  fs.copyFileSync(path.join(built, 'tfjs_binding.node'), path.join(folder, 'alone/cpu/tfjs_binding.node'));
  const {devices} = await doctor({
    child,
    devices: ['native'],
    benchSeconds: 0,
    nativeFolder: path.join(folder, 'alone'),
  });
  expect(devices[0]).toMatchObject({
    ok: false,
    reason: expect.stringMatching(/the library libtensorflow_\w+\.so\.2 is missing/),
    hint: 'mue native cpu --force',
  });
});

testNative('loadNativeBinding: a build that sees no GPU serves native, not cuda', async () => {
  fs.mkdirSync(path.join(folder, 'blind'));
  fs.symlinkSync(built, path.join(folder, 'blind/gpu'));
  const {devices, auto} = await doctor({
    child,
    devices: ['cuda', 'native'],
    benchSeconds: 0,
    nativeFolder: path.join(folder, 'blind'),
  });
  expect(devices[0]).toMatchObject({
    device: 'cuda',
    ok: false,
    reason: expect.stringMatching(
      /(^no NVIDIA driver|NVIDIA's libraries are missing: libcudart|^TensorFlow sees no usable GPU|^CUDA_VISIBLE_DEVICES)/,
    ),
  });
  expect(devices[1]).toMatchObject({
    device: 'native',
    ok: true,
    backend: 'tensorflow',
    threads: os.availableParallelism(),
  });
  expect(auto).toBe('native');
});

testNative('selectBackend native: computes with the tfjs that the model imports', async () => {
  await selectBackend('native');
  expect(tf.getBackend()).toBe('tensorflow');
  const before = tf.memory().numTensors;
  const {values, indices} = tf.tidy(() =>
    tf.topk(
      tf.softmax(
        tf.matMul(
          tf.tensor2d([[1, 2]]),
          tf.tensor2d([
            [3, 1],
            [4, 2],
          ]),
        ),
      ),
      1,
    ),
  );
  expect((await values.data())[0]).toBeCloseTo(1 / (1 + Math.exp(-6)), 6);
  expect([...(await indices.data())]).toEqual([0]);
  tf.dispose([values, indices]);
  expect(tf.memory().numTensors).toBe(before);
});

testNative('selectBackend: switches between backends within a process', async () => {
  for (const device of ['wasm', 'native', 'cpu', 'native']) {
    const {backend} = await selectBackend(device);
    expect(tf.getBackend()).toBe(backend);
    const sum = tf.sum(tf.tensor1d([1, 2, 3]));
    expect((await sum.data())[0]).toBe(6);
    sum.dispose();
  }
});
