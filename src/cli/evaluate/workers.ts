import {type ChildProcess, fork} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import type {Shard} from '../../evaluation/shard.js';
import type {Progress} from '../../node/runs/evaluate-into.js';
import {AbortError, InputError, MueError} from '../../runtime/errors.js';
import type {EvaluateFlags} from './evaluate.js';
import type {ShardContext} from './shard.js';

/** A part of the rows and the folder it goes to. */
export interface Part {
  readonly shard: Shard;
  readonly folder: string;
}

/** What a worker is told, once. */
export interface WorkerTask extends Part {
  readonly flags: EvaluateFlags;
}

/** What a worker says. */
export type WorkerMessage =
  | {readonly kind: 'progress'; readonly progress: Progress}
  | {readonly kind: 'warn'; readonly line: string}
  | {readonly kind: 'finished'}
  | {
      readonly kind: 'failed';
      readonly error: {
        readonly code: string;
        readonly message: string;
        readonly hint?: string;
        readonly exitCode: number;
      };
    };

/** An error of a worker, with its exit code. */
class WorkerError extends MueError {
  constructor(
    code: string,
    message: string,
    readonly exitCode: MueError['exitCode'],
    hint?: string,
  ) {
    super(code, message, hint === undefined ? {} : {hint});
  }
}

/**
 * Evaluates every part in a process of its own. If one fails, the others stop after the row at hand.
 * @throws the first error; AbortError
 */
export async function runWorkers(
  flags: EvaluateFlags,
  parts: readonly Part[],
  {out, signal, onProgress}: ShardContext,
): Promise<void> {
  const progress: Progress[] = parts.map(() => ({done: 0, before: 0, failed: 0}));
  const children: ChildProcess[] = [];
  // A worker without its parent stops, too: see evaluate-worker.
  let stopping = false;
  const stop = (): void => {
    stopping = true;
    for (const child of children) if (child.connected) child.disconnect();
  };
  signal.addEventListener('abort', stop);
  try {
    const results = await Promise.allSettled(parts.map((part, j) => worker(part, j)));
    if (signal.aborted) throw new AbortError();
    const failed = results.filter((result) => result.status === 'rejected').map(({reason}) => reason as unknown);
    // Those that were stopped because of another one say nothing new.
    if (failed.length > 0) throw failed.find((error) => !(error instanceof AbortError)) ?? failed[0];
  } finally {
    signal.removeEventListener('abort', stop);
  }

  async function worker(part: Part, j: number): Promise<void> {
    const child = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), [], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    children.push(child);
    let finished = false;
    let error: Error | undefined;
    child.on('message', (message: WorkerMessage) => {
      if (message.kind === 'warn') out.warn(message.line);
      else if (message.kind === 'finished') finished = true;
      else if (message.kind === 'failed') {
        const {code, message: text, hint, exitCode} = message.error;
        error = new WorkerError(code, text, exitCode as MueError['exitCode'], hint);
      } else {
        progress[j] = message.progress;
        onProgress(total(progress));
      }
    });
    const ended = new Promise<[number | null, string | null]>((resolve) => {
      child.on('exit', (...how) => resolve(how));
      child.on('error', (cause) => {
        error ??= cause;
        resolve([null, null]);
      });
    });
    // A process may be gone before its last words have come.
    const silent = new Promise<void>((resolve) => child.on('disconnect', resolve));
    child.send({...part, flags} satisfies WorkerTask, () => {});
    const [code, killed] = await ended;
    if (child.pid !== undefined) await silent;
    if (finished && code === 0) return;
    // One that was told to stop may have failed, too, but can no longer say of what: the first one has.
    const stopped = stopping;
    stop();
    if (error) throw error;
    if (code === 130 || stopped) throw new AbortError();
    throw new InputError(
      'worker-died',
      `worker ${j} of ${parts.length} ended unexpectedly (${killed ?? `exit code ${code}`})`,
      {
        hint: 'The same command goes on where it stopped. SIGKILL often means that memory ran out: try fewer --workers.',
      },
    );
  }
}

function total(parts: readonly Progress[]): Progress {
  const sum = (of: (part: Progress) => number): number => parts.reduce((all, part) => all + of(part), 0);
  const known = parts.every((part) => part.total !== undefined);
  return {
    done: sum((p) => p.done),
    before: sum((p) => p.before),
    failed: sum((p) => p.failed),
    ...(known ? {total: sum((p) => p.total ?? 0)} : {}),
  };
}
