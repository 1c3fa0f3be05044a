import {throwIfAborted} from './errors.js';

type Later = (callback: () => void) => unknown;

/** After what has happened meanwhile: timers' smallest wait is a millisecond, setImmediate's none. */
const later: Later = (globalThis as {setImmediate?: Later}).setImmediate ?? ((callback) => setTimeout(callback, 0));

/**
 * Lets the outside world speak, where somebody may want to stop this: on a backend that computes in this thread, promises
 * alone never give a Ctrl-C, a timer or a click the chance to fire.
 * @throws AbortError if the signal has fired
 */
export async function yieldToEventLoop(signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return;
  throwIfAborted(signal);
  await new Promise<void>((resolve) => later(resolve));
  throwIfAborted(signal);
}
