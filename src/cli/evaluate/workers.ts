import {type ChildProcess, fork} from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import type {EvaluationMetrics} from '../../evaluation/metrics.js';
import {partOfShard, shardName} from '../../evaluation/shard.js';
import type {Progress} from '../../node/runs/evaluate-into.js';
import {mergeEvaluations} from '../../node/runs/merge.js';
import {AbortError, InputError, MueError} from '../../runtime/errors.js';
import type {ShardContext, ShardJob} from './shard.js';

/** The message that starts a worker: its part of the shard. */
export type WorkerTask = ShardJob;

/** A message of a worker: how far it is, a line for stderr, or how it ended. */
export type WorkerMessage =
  | {readonly kind: 'progress'; readonly progress: Progress}
  | {readonly kind: 'warn'; readonly line: string}
  | {readonly kind: 'finished'}
  | {readonly kind: 'failed'; readonly error: WorkerErrorRecord};

/** A worker's error as a message carries it. */
export interface WorkerErrorRecord {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** Exit code of the command. */
  readonly exitCode: MueError['exitCode'];
}

/** A worker's error in the process that started it. */
class WorkerError extends MueError {
  readonly exitCode: MueError['exitCode'];

  constructor({code, message, hint, exitCode}: WorkerErrorRecord) {
    super(code, message, {hint});
    this.exitCode = exitCode;
  }
}

/**
 * Evaluates a shard in parts, each in a process and a folder of its own, and puts the parts together.
 * @param workers how many parts
 * @throws the first error of a worker; AbortError
 */
export async function evaluateInWorkers(
  job: ShardJob,
  workers: number,
  context: ShardContext,
): Promise<EvaluationMetrics> {
  // Processes share the cores, unless somebody said how.
  const threads = job.model.load.threads ?? Math.max(1, Math.floor(os.availableParallelism() / workers));
  const model = {...job.model, load: {...job.model.load, threads}};
  const parts = Array.from({length: workers}, (_, j): WorkerTask => {
    const shard = partOfShard(job.shard, j, workers);
    return {...job, model, shard, folder: path.join(job.folder, shardName(shard))};
  });
  await runWorkers(parts, context);
  return await mergeEvaluations(
    parts.map(({folder}) => folder),
    job.folder,
    job.shard,
  );
}

/** Runs every task in a process of its own. If one fails, the others stop after the row at hand. */
async function runWorkers(tasks: readonly WorkerTask[], {out, signal, onProgress}: ShardContext): Promise<void> {
  const progress: Progress[] = tasks.map(() => ({done: 0, before: 0, failed: 0}));
  const children: ChildProcess[] = [];
  // Workers meet the same faults: a hint is said once.
  const hints = new Set<string>();
  const warn = (line: string): void => {
    if (hints.has(line)) return;
    if (line.startsWith('  → ')) hints.add(line);
    out.warn(line);
  };
  // A worker without its parent stops, too (see worker.ts).
  let stopping = false;
  const stop = (): void => {
    stopping = true;
    for (const child of children) if (child.connected) child.disconnect();
  };
  signal.addEventListener('abort', stop);
  try {
    const results = await Promise.allSettled(tasks.map(worker));
    if (signal.aborted) throw new AbortError();
    const failed = results.filter((result) => result.status === 'rejected').map(({reason}) => reason as unknown);
    // A worker that was stopped because of another one says nothing new.
    if (failed.length > 0) throw failed.find((error) => !(error instanceof AbortError)) ?? failed[0];
  } finally {
    signal.removeEventListener('abort', stop);
  }

  async function worker(task: WorkerTask, j: number): Promise<void> {
    const child = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), [], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    children.push(child);
    let finished = false;
    let error: Error | undefined;
    child.on('message', (message: WorkerMessage) => {
      if (message.kind === 'warn') warn(message.line);
      else if (message.kind === 'finished') finished = true;
      else if (message.kind === 'failed') error = new WorkerError(message.error);
      else {
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
    child.send(task, () => {});
    const [code, killed] = await ended;
    if (child.pid !== undefined) await silent;
    if (finished && code === 0) return;
    // A worker that was told to stop may have failed, too, but can no longer say of what: the first one has.
    const stopped = stopping;
    stop();
    if (error) throw error;
    if (code === 130 || stopped) throw new AbortError();
    throw new InputError(
      'worker-died',
      `worker ${j} of ${tasks.length} ended unexpectedly (${killed ?? `exit code ${code}`})`,
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
    total: known ? sum((p) => p.total ?? 0) : undefined,
  };
}
