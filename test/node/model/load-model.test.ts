import * as tf from '@tensorflow/tfjs';
import fs from 'node:fs';
import path from 'node:path';
import {type LoadProgress, loadModel} from '../../../src/node.js';
import {modelFolder} from '../../../src/node/model/shipped-models.js';
import {AbortError} from '../../../src/runtime/errors.js';

const name = 'scenes-coca';
const weights = path.join(modelFolder(name), 'model.safetensors');

test('loadModel: reports each file from initiate to done, its bytes in between, and ready at the end', async () => {
  const events: LoadProgress[] = [];
  using _ = await loadModel(name, {device: 'wasm', onProgress: (event) => events.push(event)});
  expect(events[0]).toEqual({status: 'initiate', name, file: 'model.safetensors'});
  expect(events.slice(-2)).toEqual([
    {status: 'done', name, file: 'model.safetensors'},
    {status: 'ready', name},
  ]);
  const between = events.slice(1, -2);
  const loaded = between.map((event) => (event.status === 'progress' ? event.loaded : Number.NaN));
  expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
  const total = fs.statSync(weights).size;
  expect(between.at(-1)).toEqual({
    status: 'progress',
    name,
    file: 'model.safetensors',
    loaded: total,
    total,
    progress: 100,
  });
});

test('loadModel: an aborted signal ends it before and during reading, and leaves no tensor', async () => {
  using _ = await loadModel(name, {device: 'wasm'});
  const before = tf.memory().numTensors;
  const reason = new Error('enough');
  for (const when of ['initiate', 'progress'] as const) {
    const controller = new AbortController();
    const onProgress = ({status}: LoadProgress): void => {
      if (status === when) controller.abort(reason);
    };
    const loading = loadModel(name, {device: 'wasm', onProgress, signal: controller.signal});
    await expect(loading).rejects.toMatchObject({name: 'AbortError', cause: reason});
  }
  await expect(loadModel(name, {signal: AbortSignal.abort(reason)})).rejects.toBeInstanceOf(AbortError);
  expect(tf.memory().numTensors).toBe(before);
});

test('loadModel: an error of onProgress is thrown, and the model is disposed', async () => {
  using _ = await loadModel(name, {device: 'wasm'});
  const before = tf.memory().numTensors;
  for (const when of ['initiate', 'progress', 'ready'] as const) {
    const onProgress = ({status}: LoadProgress): void => {
      if (status === when) throw new RangeError(when);
    };
    await expect(loadModel(name, {device: 'wasm', onProgress})).rejects.toThrow(new RangeError(when));
  }
  expect(tf.memory().numTensors).toBe(before);
});
