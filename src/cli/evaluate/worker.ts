import '../../runtime/dispose-symbol.js';
import {AbortError, MueError} from '../../runtime/errors.js';
import {errorRecord} from '../core/errors.js';
import {evaluateShard} from './shard.js';
import type {WorkerMessage, WorkerTask} from './workers.js';

// A process of `mue evaluate --workers n`: it gets its task by a message, says how far it is by messages, and stops
// when its parent is gone.
const controller = new AbortController();
const abort = (): void => controller.abort(new AbortError());
for (const event of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.on(event, abort);

process.once('message', (task: WorkerTask) => {
  void run(task);
});

async function run(task: WorkerTask): Promise<void> {
  const warn = (line: string): void => tell({kind: 'warn', line});
  try {
    const out = {data: () => {}, styled: () => {}, say: () => {}, warn, quiet: true, colours: false};
    await evaluateShard(task, {
      out,
      signal: controller.signal,
      onProgress: (progress) => tell({kind: 'progress', progress}),
    });
    tell({kind: 'finished'}, () => process.disconnect());
  } catch (error) {
    const {exitCode = 1, hint} = error instanceof MueError ? error : {};
    process.exitCode = exitCode;
    tell({kind: 'failed', error: {...errorRecord(error), hint, exitCode}}, () => process.disconnect());
  }
}

function tell(message: WorkerMessage, then: () => void = () => {}): void {
  if (process.connected) process.send?.(message, then);
}
