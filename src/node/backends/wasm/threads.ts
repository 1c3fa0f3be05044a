import {Worker} from 'node:worker_threads';

/** What a helping thread needs: the compiled kernels, their memory, and addresses in it (kernels/thread.mjs). */
export interface ThreadData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly job: number;
  /** From 1 on; 0 is the thread that calls. */
  readonly thread: number;
  readonly stack: number;
}

const SCRIPT = new URL('../../../../kernels/thread.mjs', import.meta.url);

/**
 * Starts a helping thread of Node. It does not keep the process from ending. One that cannot start, or ends by an
 * error, is missed by nobody: jobs wait only for pieces that somebody took.
 * @param ended called when the thread has ended by itself, as it does after seconds without a job
 * @returns ends the thread
 */
export function startThread(data: ThreadData, ended: () => void): () => void {
  const worker = new Worker(SCRIPT, {workerData: data, execArgv: [], trackUnmanagedFds: false});
  worker.unref();
  worker.on('error', () => undefined);
  worker.on('exit', ended);
  return () => {
    worker.off('exit', ended);
    void worker.terminate();
  };
}
