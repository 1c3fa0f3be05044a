import type {StackName} from '../../../src/exit/policy.js';
import type {Answer} from '../../../src/tasks/answer.js';
import type {VisionLanguagePipeline} from '../../../src/tasks/pipeline.js';
import type {ExitChoice} from '../../../src/tasks/exits.js';
import {valueWithoutLeaks} from '../leaks.js';

/** A task, asked of each picture alone and of all together. */
export interface BatchCall {
  readonly alone: (mue: VisionLanguagePipeline, i: number, exit: ExitChoice) => Promise<Answer>;
  readonly together: (mue: VisionLanguagePipeline, exit: ExitChoice) => Promise<readonly Answer[]>;
}

/**
 * Checks that in a batch each picture gets the answer that it gets alone, but for times.
 * @returns the answers of each alone
 */
export async function compareBatch(
  call: BatchCall,
  mue: VisionLanguagePipeline,
  pictures: number,
  exit: ExitChoice,
): Promise<readonly Answer[]> {
  const alone: Answer[] = [];
  for (let i = 0; i < pictures; i++) alone.push(await call.alone(mue, i, exit));
  const together = await valueWithoutLeaks(() => call.together(mue, exit));
  expect(together.length).toBe(alone.length);
  for (const [i, {score, trace, ...answer}] of together.entries()) {
    const want = alone[i]!;
    expect(answer).toMatchObject({
      text: want.text,
      tokens: want.tokens,
      layers: want.layers,
      macs: want.macs,
      notes: want.notes,
    });
    expect(Math.abs(score - want.score)).toBeLessThan(1e-4);
    expect(trace.map(({stack, step, exitLayer, exited}) => [stack, step, exitLayer, exited])).toEqual(
      want.trace.map(({stack, step, exitLayer, exited}) => [stack, step, exitLayer, exited]),
    );
  }
  return alone;
}

/** A threshold between the scores that the answers have after the first layer of a stack. */
export function thresholdBetween(answers: readonly Answer[], stack: StackName): number {
  const scores = answers
    .flatMap(({trace}) => trace.filter((t) => t.stack === stack).map((t) => t.scores[0]!))
    .sort((a, b) => a - b);
  const middle = Math.floor(scores.length / 2);
  return (scores[middle - 1]! + scores[middle]!) / 2;
}
