import {TokenTrie} from '../generation/token-trie.js';
import {PAD} from '../models/ofa/config.js';
import {InputError} from '../runtime/errors.js';
import type {OfaPipeline} from '../tasks/ofa-processor.js';
import {ENTAILMENT_ANSWERS} from '../tasks/prompts.js';
import type {TrainingRow} from './rows.js';

/** Tasks that models are trained for. */
export const TRAINED_TASKS = ['snli-ve', 'caption', 'vqa'] as const;
export type TrainedTask = (typeof TRAINED_TASKS)[number];

/** One answer as the decoder learns it. T positions. */
export interface TrainingExample {
  /** Token ids of the encoder's prompt. */
  readonly source: readonly number[];
  /** Token ids that the decoder is fed, [T]. */
  readonly inputs: readonly number[];
  /** Token ids that should come next, [T]; padding where nothing is learnt. */
  readonly targets: readonly number[];
  /** Ids that are allowed at each position, [T]; all words if left out. */
  readonly allowed?: readonly (readonly number[])[];
  /** Weight of its loss. */
  readonly confidence: number;
}

/**
 * A row of a data set as examples: a caption for each reference; an entailment or a question with its answer, of several
 * the surest one, with its confidence (docs/reference/ofa-mue.md 8).
 * @param allowed   questions: the answers that are allowed; any words by default
 * @throws InputError `label-missing` without an answer, `row-incomplete`, `text-too-long`
 */
export function examplesOf(
  pipeline: OfaPipeline,
  task: TrainedTask,
  row: TrainingRow,
  allowed?: TokenTrie,
): readonly TrainingExample[] {
  const {eos} = pipeline.tokenizer;
  if (task === 'caption') {
    const {source, prompt} = pipeline.captionWriter({num_beams: 1});
    const references = row.references ?? [];
    if (references.length === 0) throw unlabelled('caption');
    return references.map((text) =>
      example(pipeline, {source, target: prompt}, pipeline.captionTokens(text).slice(0, -1), eos),
    );
  }
  const {text} = row;
  if (text === undefined)
    throw new InputError('row-incomplete', `there is no ${task === 'vqa' ? 'question' : 'hypothesis'}`);
  if (task === 'snli-ve') {
    if (row.label === undefined) throw unlabelled('label');
    const prompt = pipeline.entailmentTokens(text, pipeline.readsPremise ? row.premise : undefined);
    const answer = prompt.answers[ENTAILMENT_ANSWERS.indexOf(row.label)]!;
    return [example(pipeline, prompt, answer, eos, new TokenTrie(prompt.answers, eos))];
  }
  const [answer, confidence] = [...(row.answers ?? [])].reduce<readonly [string, number] | readonly []>(
    (best, each) => (best[1] === undefined || each[1] > best[1] ? each : best),
    [],
  );
  if (answer === undefined) throw unlabelled('answer');
  const prompt = pipeline.questionTokens(text);
  return [{...example(pipeline, prompt, pipeline.answerTokens(answer), eos, allowed), confidence: confidence!}];
}

/** @param answer without the end symbol */
function example(
  {model}: OfaPipeline,
  {source, target: prompt}: {readonly source: readonly number[]; readonly target: readonly number[]},
  answer: readonly number[],
  eos: number,
  trie?: TokenTrie,
): TrainingExample {
  if (answer.length === 0) throw unlabelled('answer');
  const fed = prompt.length - 1;
  const inputs = [...prompt, ...answer];
  const most = model.config.max_target_positions;
  if (inputs.length > most)
    throw new InputError('text-too-long', `prompt and answer have ${inputs.length} tokens; the model has ${most}`);
  const learnt = [...answer, eos];
  const targets = [...new Array<number>(fed).fill(PAD), ...learnt];
  const allowed = trie && [
    ...new Array<readonly number[]>(fed).fill([]),
    ...learnt.map((_, i) => trie.allowed(answer.slice(0, i))),
  ];
  const odd = allowed && learnt.findIndex((token, i) => !allowed[fed + i]!.includes(token));
  if (odd !== undefined && odd >= 0)
    throw new InputError('answer-not-allowed', 'the answer is not in the list of allowed answers');
  return {source, inputs, targets, confidence: 1, ...(allowed && {allowed})};
}

function unlabelled(what: string): InputError {
  return new InputError('label-missing', `there is no ${what} to learn from`, {
    hint: 'Training needs answers. `mue train exits` makes a model exit-ready without any.',
  });
}
