import {throwIfAborted} from './errors.js';

type Later = (callback: () => void) => unknown;

/** After what has happened meanwhile: timers' smallest wait is a millisecond, setImmediate's none. */
const later: Later = (globalThis as {setImmediate?: Later}).setImmediate ?? ((callback) => setTimeout(callback, 0));

/**
 * Yields to the event loop so that an abort (Ctrl-C, a timer, a click) can be delivered: on a backend that computes in
 * this thread, promises alone never let it. Does nothing without a signal.
 * @throws AbortError if the signal has fired
 */
export async function yieldToEventLoop(signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return;
  throwIfAborted(signal);
  await new Promise<void>((resolve) => later(resolve));
  throwIfAborted(signal);
}
