import * as tf from '@tensorflow/tfjs';

export type KernelCall = Parameters<tf.KernelFunc>[0];

/** Puts another function in the place of a kernel of a backend that has started. @param make gets the one that is there now */
export function replaceKernel(name: string, backend: string, make: (original: tf.KernelFunc) => tf.KernelFunc): void {
  const {setupFunc: _, ...config} = tf.getKernel(name, backend); // its setup has run
  tf.unregisterKernel(name, backend);
  tf.registerKernel({...config, kernelFunc: make(config.kernelFunc)});
}
