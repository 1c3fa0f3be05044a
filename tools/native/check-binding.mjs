// Loads a binding and multiplies two matrices with it. usage: node check-binding.mjs FILE; prints one line of JSON.
import {createRequire} from 'node:module';
import path from 'node:path';
import util from 'node:util';

const require = createRequire(import.meta.url);
process.env.TF_CPP_MIN_LOG_LEVEL ??= '3';
process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true';
// Removed in Node 23; tfjs-node 4.22 calls it.
/** @type {any} */ (util).isNullOrUndefined ??= (/** @type {unknown} */ x) => x === null || x === undefined;
const tf = require('@tensorflow/tfjs');
require('@tensorflow/tfjs-node-gpu/dist/register_all_kernels');
const {NodeJSKernelBackend} = require('@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend');
const file = process.argv[2] ?? '';
const capture = require(path.join(path.dirname(file), 'stderr_capture.node'));
capture.begin();
let binding;
try {
  binding = require(file);
} finally {
  const log = capture.end();
  if (!binding) console.error(log);
}
tf.registerBackend('tensorflow', () => new NodeJSKernelBackend(binding, '@tensorflow/tfjs-node-gpu'), 3);
tf.setBackend('tensorflow');
const product = tf
  .matMul(
    [
      [1, 2],
      [3, 4],
    ],
    [[5], [6]],
  )
  .arraySync();
if (tf.getBackend() !== 'tensorflow' || JSON.stringify(product) !== '[[17],[39]]')
  throw new Error(`${tf.getBackend()}: [1 2; 3 4] · [5; 6] gave ${JSON.stringify(product)}`);
console.log(JSON.stringify({tensorflow: binding.TF_Version, gpu: binding.isUsingGpuDevice()}));
