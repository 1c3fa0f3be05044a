import type {PolicyPerImage} from '../exit/policy.js';
import type {Mode} from '../exit/policies/similarity.js';
import {addMacs, type ImageRun} from '../exit/trace.js';
import {logSoftmax} from '../generation/logits.js';
import {TokenTrie} from '../generation/token-trie.js';
import type {ExitAdapters} from '../nn/exit-adapters.js';
import type {Encoded, RunOptions, VisionLanguageModel} from '../models/model.js';
import {TensorScope} from '../runtime/tensor-scope.js';

export interface ScoreAnswersOptions extends RunOptions {
  /** Token ids that the decoder is fed before the answer, begin symbol first; one list a picture. */
  readonly prompts: readonly (readonly number[])[];
  /** Token ids of every allowed answer, without end symbol. */
  readonly answers: readonly (readonly number[])[];
  readonly mode: Mode;
  /** The end symbol. */
  readonly eos: number;
  /** Stand between early states and the head; borrowed. */
  readonly adapters?: ExitAdapters;
  /** Answers in one pass; the release's `valid_batch_size`. */
  readonly chunk?: number;
}

/**
 * Log-probability of every allowed answer after each picture's prompt, among the allowed ones
 * (docs/reference/ofa-mue.md 8.2, 8.3).
 *
 * Where all answers are single tokens and exits are decided on the prompt alone (`corrected`), that is one softmax over
 * a few logits at the last prompt position, and the answers need not be run. Reference mode runs prompt and answer of
 * every candidate, and decides on all of them at once, as the release does.
 */
export async function scoreAnswers(
  model: VisionLanguageModel,
  encoded: Encoded,
  policy: PolicyPerImage,
  {prompts, answers, mode, eos, chunk = 20, adapters, signal}: ScoreAnswersOptions,
): Promise<{scores: readonly (readonly number[])[]; runs: readonly ImageRun[]}> {
  using scope = new TensorScope();
  const trie = new TokenTrie(answers, eos);
  if (mode === 'corrected' && answers.every((answer) => answer.length === 1)) {
    const words = answers.map(([word]) => word!);
    const at = prompts.map((prompt, row) => ({row, position: prompt.length - 1}));
    const {logits, runs} = await model.score(encoded, {targets: prompts, at, ids: words, adapters}, policy, {signal});
    const values = (await scope.hold(logits).data()) as Float32Array;
    const part = (p: number): Float64Array =>
      Float64Array.from(values.subarray(p * words.length, (p + 1) * words.length));
    return {scores: prompts.map((_, p) => [...logSoftmax(part(p))]), runs};
  }
  const scores: number[][] = prompts.map(() => []);
  const chunks: (readonly ImageRun[])[] = [];
  for (let first = 0; first < answers.length; first += chunk) {
    const part = answers.slice(first, first + chunk);
    const targets = prompts.flatMap((prompt) => part.map((answer) => [...prompt, ...answer]));
    // Every token of the answer is scored, and the end symbol where a longer answer could go on instead (else it is
    // certain).
    const words = part.map((answer) => (trie.allowed(answer).length > 1 ? [...answer, eos] : answer));
    const at = targets.flatMap((_, row) =>
      words[row % part.length]!.map((_word, i) => ({
        row,
        position: prompts[Math.floor(row / part.length)]!.length - 1 + i,
      })),
    );
    const decideOn = mode === 'corrected' ? {decideOn: prompts.map((prompt) => prompt.length)} : {};
    const result = await model.score(encoded, {targets, at, ...decideOn, adapters}, policy, {signal});
    const values = (await scope.hold(result.logits).data()) as Float32Array;
    const size = values.length / at.length;
    let index = 0;
    for (let row = 0; row < targets.length; row++) {
      let sum = 0;
      const scored = words[row % part.length]!;
      for (const [i, word] of scored.entries()) {
        const allowed = trie.allowed(scored.slice(0, i));
        const here = logSoftmax(Float64Array.from(allowed, (id) => values[index * size + id]!));
        sum += here[allowed.indexOf(word)]!;
        index++;
      }
      scores[Math.floor(row / part.length)]!.push(sum);
    }
    scope.drop(result.logits);
    chunks.push(result.runs);
  }
  const runs = prompts.map((_, p) => ({
    traces: chunks.flatMap((of) => of[p]!.traces),
    macs: addMacs(chunks.map((of) => of[p]!.macs)),
  }));
  return {scores, runs};
}
