import {selectBackend} from '../../src/node/backends/select.js';
import {BackendError} from '../../src/runtime/errors.js';

/** Why WebGPU cannot run here, and so its tests neither; undefined where there are its packages and an adapter, software included. */
export async function whyNoWebgpu(suite: string): Promise<string | undefined> {
  try {
    await selectBackend('webgpu');
    return undefined;
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    // Not by console: jest keeps to itself what a suite says of which every test is skipped.
    process.stderr.write(`${suite}: skipped, ${error.message}\n`);
    return error.message;
  }
}
