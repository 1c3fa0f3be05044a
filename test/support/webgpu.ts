import {selectBackend} from '../../src/node/backends/select.js';
import {BackendError} from '../../src/runtime/errors.js';

/**
 * The reason why WebGPU, and so its tests, cannot run here; undefined where its packages and an adapter are there, even
 * of software.
 */
export async function whyNoWebgpu(suite: string): Promise<string | undefined> {
  try {
    await selectBackend('webgpu');
    return undefined;
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    // Jest does not print the console of a suite whose tests are all skipped.
    process.stderr.write(`${suite}: skipped, ${error.message}\n`);
    return error.message;
  }
}
