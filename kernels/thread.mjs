// A thread that helps with jobs on a shared heap. It sleeps between them, and ends when none has come for a while.
// workerData: the compiled module, the memory, the address of the job, the number of the thread from 1 on, and the
// address behind its stack.
import {workerData} from 'node:worker_threads';

const PATIENCE_NS = 10e9;
const {module, memory, job, thread, stack} = workerData;
const {exports} = new WebAssembly.Instance(module, {env: {memory}});
exports.__stack_pointer.value = stack | 0;
try {
  exports.serve(job, thread, PATIENCE_NS);
} catch (error) {
  // Whoever waits for the piece learns that it will not come.
  exports.leave(job, 1);
  throw error;
}
