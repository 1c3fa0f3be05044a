import {fileURLToPath} from 'node:url';
import fs from 'node:fs';
import {Worker} from 'node:worker_threads';
import type {RgbImage} from '../../data/image.js';
import {AbortError, InputError, throwIfAborted} from '../../runtime/errors.js';
import type {Conversion} from './decode-here.js';

/** What the worker is asked. */
export interface DecodeRequest {
  readonly bytes: Uint8Array;
  readonly conversion: Conversion;
}

/** What it answers: a picture, or the parts of the error. */
export type DecodeReply =
  | {readonly image: RgbImage}
  | {readonly error: {readonly code: string | undefined; readonly message: string; readonly hint: string | undefined}};

/** The file of the worker: missing where a bundler made one file of everything. */
const WORKER = new URL('./decode-worker.js', import.meta.url);

/** The end of the last decode: large pictures are decoded one after the other, since each may take a gigabyte. */
let turn: Promise<unknown> = Promise.resolve();
/** The thread, kept for the next large picture; it does not keep the process alive. */
let idle: Worker | undefined;

/**
 * Decodes a picture in another thread, so that this one goes on, and ends that thread when the signal fires.
 * @param bytes borrowed
 * @returns the picture, the caller's; undefined where there are no threads
 * @throws InputError as decoding here does, AbortError
 */
export async function decodeElsewhere(
  bytes: Uint8Array,
  conversion: Conversion,
  signal: AbortSignal | undefined,
): Promise<RgbImage | undefined> {
  if (!fs.existsSync(fileURLToPath(WORKER))) return undefined;
  const before = turn;
  let done = (): void => {};
  turn = new Promise<void>((resolve) => {
    done = resolve;
  });
  try {
    await before;
    throwIfAborted(signal);
    idle ??= startWorker();
    return idle === undefined ? undefined : await ask(idle, {bytes, conversion}, signal);
  } finally {
    done();
  }
}

function startWorker(): Worker | undefined {
  try {
    // Options of this process, such as `--input-type` or `--test`, may not fit a thread.
    return new Worker(WORKER, {execArgv: []});
  } catch {
    // Node's permission model can forbid threads.
    return undefined;
  }
}

async function ask(worker: Worker, request: DecodeRequest, signal: AbortSignal | undefined): Promise<RgbImage> {
  let resolve = (_: DecodeReply): void => {};
  let reject = (_: Error): void => {};
  const answer = new Promise<DecodeReply>((...settle) => {
    [resolve, reject] = settle;
  });
  const ended = (): void => reject(new Error('the thread that decodes pictures ended'));
  const aborted = (): void => reject(new AbortError(signal?.reason));
  worker.on('message', resolve).on('error', reject).on('exit', ended);
  signal?.addEventListener('abort', aborted);
  worker.ref();
  try {
    worker.postMessage(request);
    const reply = await answer;
    if ('image' in reply) return reply.image;
    const {code, message, hint} = reply.error;
    throw code === undefined ? new Error(message) : new InputError(code, message, {hint});
  } catch (error) {
    // A thread that is still at work, or failed, is of no use to the next picture.
    if (!(error instanceof InputError)) {
      idle = undefined;
      void worker.terminate();
    }
    throw error;
  } finally {
    signal?.removeEventListener('abort', aborted);
    worker.off('message', resolve).off('error', reject).off('exit', ended);
    worker.unref();
  }
}
