import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../src/node/backends/select.js';
import {isOlder} from '../../../src/node/backends/webgpu/device.js';
import {BackendError, type MueError} from '../../../src/runtime/errors.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-native-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));

/** A folder of native builds that holds one file of `bytes` as the binding. */
function nativeFolder(name: string, kind: 'cpu' | 'gpu', bytes: string | Buffer): string {
  const home = path.join(folder, name, kind);
  fs.mkdirSync(home, {recursive: true});
  fs.writeFileSync(path.join(home, 'tfjs_binding.node'), bytes);
  return path.join(folder, name);
}

async function failure(promise: Promise<unknown>): Promise<MueError> {
  const error = await promise.catch((e: unknown) => e);
  expect(error).toBeInstanceOf(BackendError);
  expect(error).toMatchObject({exitCode: 4});
  return error as MueError;
}

test('selectBackend: an unknown device is an error that lists the devices', async () => {
  const error = await failure(selectBackend('tpu'));
  expect(error.code).toBe('unknown-device');
  expect(error.message).toMatch(/auto, native, cuda, webgpu, wasm, cpu.*'tpu'/);
});

test('selectBackend: a device of before is an error that names the one to take', async () => {
  const error = await failure(selectBackend('onnx'));
  expect(error).toMatchObject({code: 'unknown-device', hint: 'Take --device wasm.'});
  expect(error.message).toContain("'onnx' was removed");
});

test.each(['wasm', 'cpu', 'wasm'])('selectBackend: %s multiplies matrices', async (device) => {
  const listeners = process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection');
  const selected = await selectBackend(device, {threads: 1});
  expect(selected).toMatchObject({backend: device, device, threads: 1, tried: [{device, ok: true}]});
  expect(tf.getBackend()).toBe(device);
  const product = tf.tidy(() => tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])));
  expect([...(await product.data())]).toEqual([11]);
  product.dispose();
  // The WebAssembly runtime would answer the process's uncaught errors.
  expect(process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection')).toBe(listeners);
});

test.each(['native', 'cuda'])('selectBackend: %s that was never built says what to type', async (device) => {
  const error = await failure(selectBackend(device, {nativeFolder: path.join(folder, 'nothing')}));
  expect(error.code).toBe('backend-unavailable');
  expect(error.message).toBe(`--device ${device}: not built`);
  expect(error.hint).toMatch(
    device === 'cuda' ? /^mue native gpu; or, .*tfjs-node-gpu/ : /^mue native cpu; or, .*tfjs-node/,
  );
});

test('selectBackend: auto passes by devices that were never built, without a word about them', async () => {
  const selected = await selectBackend('auto', {nativeFolder: path.join(folder, 'nothing'), threads: 1});
  expect(selected).toMatchObject({
    device: 'wasm',
    backend: 'wasm',
    note: expect.stringMatching(/^wasm \((relaxed )?SIMD, 1 thread\)$/) as string,
  });
  expect(selected.tried.map(({device, ok}) => [device, ok])).toEqual([
    ['cuda', false],
    ['native', false],
    ['wasm', true],
  ]);
});

describe('selectBackend, a broken .node file', () => {
  const cases: readonly (readonly [string, string | Buffer, RegExp])[] = [
    ['text', 'this is no library', /is broken: .*(invalid ELF header|file too short)/],
    ['cut', Buffer.from('7f454c4602010100', 'hex'), /is broken: .*(file too short|invalid ELF header)/],
    ['empty', '', /is broken: .*file too short/],
  ];

  test.each(cases)('is an error where its device was asked for: %s', async (name, bytes, words) => {
    const error = await failure(selectBackend('native', {nativeFolder: nativeFolder(name, 'cpu', bytes)}));
    expect(error.code).toBe('backend-unavailable');
    expect(error.message).toMatch(words);
    expect(error.hint).toBe('mue native cpu --force');
    expect(error.cause).toBeInstanceOf(Error);
  });

  test('makes auto fall back to wasm and say why', async () => {
    const selected = await selectBackend('auto', {nativeFolder: nativeFolder('text', 'gpu', 'neither is this')});
    expect(selected.device).toBe('wasm');
    expect(selected.note).toMatch(/^wasm .*; not cuda \(.*is broken.*\), native \(.*is broken.*\)$/);
    expect(selected.tried.filter((t) => !t.ok).map((t) => t.hint)).toEqual([
      'mue native gpu --force',
      'mue native cpu --force',
    ]);
  });
});

test.each([
  ['0.4.0', true],
  ['0.6.1', true],
  ['0.6.2', false],
  ['0.10.0', false],
  ['1.0.0', false],
])('isOlder: the package webgpu %s is too old: %s', (version, older) => {
  expect(isOlder(version)).toBe(older);
});

test('selectBackend: webgpu gives a reason where it cannot run', async () => {
  // With the packages and a GPU it runs, and has to compute.
  const outcome = await selectBackend('webgpu').catch((e: unknown) => e);
  if (outcome instanceof BackendError) {
    expect(outcome.code).toBe('backend-unavailable');
    expect(outcome.message).toMatch(/--device webgpu: (the npm package .* is (not installed|\d)|Dawn )/);
    expect(outcome.hint).toBeTruthy();
  } else {
    const product = tf.tidy(() => tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])));
    expect([...(await product.data())]).toEqual([11]);
    product.dispose();
  }
});
