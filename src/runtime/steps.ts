import {yieldToEventLoop} from './yield.js';

/** Long work in steps of at most some milliseconds each: it yields between them and returns its result. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** The time in ms after which other work gets its turn. */
const TURN_MS = 50;

/**
 * Does all steps, and lets an abort be delivered every 50 ms, between two of them.
 * @throws AbortError if the signal fires; without a signal the steps are done at once
 */
export async function finishByTurns<T>(steps: Steps<T>, signal: AbortSignal | undefined): Promise<T> {
  for (let turn = performance.now(); ; ) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() - turn < TURN_MS) continue;
    await yieldToEventLoop(signal);
    turn = performance.now();
  }
}
