import * as tf from '@tensorflow/tfjs';
import {centreSquare} from '../data/centre-square.js';
import type {ClipTokenizer} from '../data/clip-tokenizer.js';
import {toPixels} from '../data/image.js';
import type {ExitPlans} from '../exit/plan.js';
import {addMacs, type Macs, type StackTrace} from '../exit/trace.js';
import {searchBeams} from '../generation/beams.js';
import {sample} from '../generation/sample.js';
import type {WritingOptions, WritingStep, Written} from '../generation/writing.js';
import type {ContrastiveModel, Embedded} from '../models/model.js';
import {breathe} from '../runtime/breathe.js';
import {InputError, UsageError} from '../runtime/errors.js';
import {seededRandom} from '../runtime/random.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import {type Answer, type AnswerHypothesis, type Embedding, type Entailment, type EntailmentLabel, layersRun} from './answer.js';
import type {
  AnswerOptions,
  Assistant,
  Embedder,
  EntailmentTokens,
  ExitChoice,
  Exits,
  GenerateOptions,
  Picture,
  Pictures,
  RunsOn,
  TaskName,
} from './assistant.js';
import {chosenExits} from './chosen-exits.js';
import {Clock} from './clock.js';
import {ENTAILMENT_ANSWERS} from './prompts.js';
import {scoreAnswers} from './score-answers.js';
import {type WritingDefaults, writingSettings} from './writing-settings.js';

export interface ContrastiveCaptionerParts {
  readonly model: ContrastiveModel;
  readonly tokenizer: ClipTokenizer;
  readonly pictures: Pictures;
  /** Side of the square that pictures become, and their normalisation, per channel. */
  readonly square: {readonly size: number; readonly mean: readonly number[]; readonly std: readonly number[]};
  /** How captions are written where a call does not say. */
  readonly generation: WritingDefaults;
  readonly plans?: ExitPlans | undefined;
  readonly sha256?: string | undefined;
  readonly runsOn?: RunsOn | undefined;
}

/**
 * A contrastive captioner (CoCa) with everything around it: captions, embeddings of pictures and texts, and entailment by scoring
 * captions. It was not made for questions.
 */
export class ContrastiveCaptioner implements Assistant, Embedder {
  readonly model: ContrastiveModel;
  readonly tokenizer: ClipTokenizer;
  readonly sha256: string | undefined;
  readonly plans: ExitPlans | undefined;
  readonly runsOn: RunsOn | undefined;
  readonly readsPremise = false;
  readonly #pictures: Pictures;
  readonly #square: ContrastiveCaptionerParts['square'];
  readonly #generation: WritingDefaults;

  /** Takes ownership of the model. */
  constructor({model, tokenizer, pictures, square, generation, plans, sha256, runsOn}: ContrastiveCaptionerParts) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.plans = plans;
    this.sha256 = sha256;
    this.runsOn = runsOn;
    this.#pictures = pictures;
    this.#square = square;
    this.#generation = generation;
  }

  async caption(picture: Picture, options: GenerateOptions = {}): Promise<Answer> {
    return await this.#write(picture, 'caption', [this.tokenizer.bos], options);
  }

  /** Writes on after the beginning of a caption. */
  async prompt(picture: Picture, text: string, options: GenerateOptions = {}): Promise<Answer> {
    return await this.#write(picture, 'prompt', [this.tokenizer.bos, ...this.#tokens(text, 'prompt')], options);
  }

  /** Scores the three captions "hypothesis? no", "… yes" and "… maybe": models are to be fine-tuned on such captions. */
  async entail(picture: Picture, hypothesis: string, options: AnswerOptions & {premise?: string | undefined} = {}): Promise<Entailment> {
    using scope = new TensorScope();
    const {policy, mode} = this.exits('snli-ve', options.exit);
    const {target, answers} = this.entailmentTokens(hypothesis, options.premise);
    const clock = new Clock();
    const pixels = scope.hold(await this.#look(picture, clock, options.signal));
    const encoded = scope.hold(await this.model.encode({pixels, prompts: [[]]}, policy, {signal: options.signal}));
    clock.lap('encode');
    const asked = {prompts: [target], answers, mode, eos: this.tokenizer.eos, signal: options.signal};
    const {scores, traces, macs} = await scoreAnswers(this.model, encoded, policy, asked);
    const [row] = scores as [readonly number[]];
    const all = Object.fromEntries(ENTAILMENT_ANSWERS.map((word, i) => [word, row[i]!])) as Record<EntailmentLabel, number>;
    const hypotheses = ENTAILMENT_ANSWERS.map((text, i) => ({text, tokens: answers[i]!, score: row[i]!}));
    // The first of equals wins, as with other models.
    const ranked = hypotheses.toSorted((a, b) => b.score - a.score);
    const cut = target.length - 1 < this.tokenizer.encode(`${hypothesis}?`).length;
    const notes = cut ? [`the hypothesis is longer than the model's context; its first ${target.length - 2} tokens are used`] : [];
    const answer = this.#answer(ranked, [...encoded.traces, ...traces], addMacs(encoded.macs, macs), clock, notes);
    return {...answer, text: ranked[0]!.text, scores: all};
  }

  entailmentTokens(hypothesis: string, premise?: string): EntailmentTokens {
    if (premise !== undefined) throw unsupported('a text premise: it looks at the picture alone');
    const words = this.#tokens(hypothesis, 'hypothesis');
    const [mark] = this.tokenizer.encode('?');
    const asked = this.tokenizer.encode(`${hypothesis}?`);
    // Begin symbol, answer and end are to fit, too.
    const room = this.model.contextLength - 3;
    const target = asked.length <= room ? asked : [...words.slice(0, room - 1), mark!];
    const answers = ENTAILMENT_ANSWERS.map((word) => this.tokenizer.encode(word));
    return {source: [], target: [this.tokenizer.bos, ...target], answers};
  }

  ask(): Promise<Answer> {
    return Promise.reject(unsupported('questions: it writes captions'));
  }

  async pixels(picture: Picture): Promise<tf.Tensor4D> {
    const {size, mean, std} = this.#square;
    const image = picture instanceof Uint8Array ? await this.#pictures.decode(picture) : picture;
    return tf.tensor4d(toPixels(centreSquare(image, size), mean, std), [1, size, size, 3]);
  }

  exits(task: TaskName, choice?: ExitChoice): Exits {
    return chosenExits(task, choice, {stacks: this.model.stacks, plans: this.plans, sha256: this.sha256});
  }

  async embedPicture(picture: Picture, options: AnswerOptions = {}): Promise<Embedding> {
    using scope = new TensorScope();
    const {policy} = this.exits('embed', options.exit);
    const clock = new Clock();
    const pixels = scope.hold(await this.#look(picture, clock, options.signal));
    const embedded = await this.model.embedImages(pixels, policy, {signal: options.signal});
    return await this.#embedding(embedded, clock, []);
  }

  async embedText(text: string, options: AnswerOptions = {}): Promise<Embedding> {
    const {policy} = this.exits('embed', options.exit);
    const clock = new Clock();
    const {ids, cut} = this.tokenizer.sequence(text, this.model.contextLength);
    clock.lap('preprocess');
    const embedded = await this.model.embedTexts([ids], policy, {signal: options.signal});
    const notes =
      cut > 0 ? [`the text is longer than the model's context of ${this.model.contextLength}: its last ${cut} tokens are cut off`] : [];
    return await this.#embedding(embedded, clock, notes);
  }

  async #embedding({features, traces, macs}: Embedded, clock: Clock, notes: readonly string[]): Promise<Embedding> {
    using scope = new TensorScope();
    const vector = (await scope.hold(features).data()) as Float32Array;
    if (!vector.every(Number.isFinite))
      throw new InputError('score-not-finite', 'the embedding is not made of numbers', {hint: 'Damaged weights give such embeddings.'});
    clock.lap('encode');
    return {vector: vector.slice(), layers: layersRun(traces), macs, ms: clock.read(), trace: traces, notes};
  }

  /** Writes a caption word by word. */
  async #write(picture: Picture, task: TaskName, prompt: readonly number[], options: GenerateOptions): Promise<Answer> {
    using scope = new TensorScope();
    const {signal, onToken} = options;
    const {policy, skippedKv} = this.exits(task, options.exit);
    const {contextLength, vocabularySize} = this.model;
    const settings = writingSettings(this.#generation, options, {prompt: prompt.length, contextLength, vocabularySize});
    if (onToken && settings.beams !== undefined)
      throw new UsageError('stream-beams', 'tokens can be streamed with one beam only: of several, the best is known at the end', {
        hint: 'Set num_beams to 1.',
      });
    const clock = new Clock();
    const pixels = scope.hold(await this.#look(picture, clock, signal));
    const encoded = scope.hold(await this.model.encode({pixels, prompts: [[]]}, policy, {signal}));
    clock.lap('encode');
    const {beams, maxLength} = settings;
    const decoding = scope.hold(this.model.startDecoding(encoded, beams ?? 1, maxLength, skippedKv));
    const stream = onToken && ((step: WritingStep) => this.#stream(step, prompt.length, onToken));
    const writing: WritingOptions = {...settings, prompt, end: this.tokenizer.eos, signal, ...(stream ? {onStep: stream} : {})};
    const {texts, traces} =
      beams === undefined
        ? await sample(decoding, 1, policy, {...settings, ...writing, random: seededRandom(options.seed ?? 0)})
        : await best(searchBeams(decoding, 1, policy, {...writing, beams}));
    const found = texts.map((text) => this.#hypothesis(text, prompt.length));
    return this.#answer(found, [...encoded.traces, ...traces], addMacs(encoded.macs, decoding.macs), clock, []);
  }

  #hypothesis({tokens, score}: Written, prompt: number): AnswerHypothesis {
    const words = tokens.slice(prompt, tokens.at(-1) === this.tokenizer.eos ? -1 : undefined);
    return {text: this.tokenizer.decode(words).trim(), tokens: words, score};
  }

  #stream({step, inputs, tokens, traces}: WritingStep, prompt: number, onToken: NonNullable<GenerateOptions['onToken']>): void {
    const [token] = tokens as [number];
    if (token === this.tokenizer.eos) return;
    onToken({step, token, text: this.tokenizer.decode([...inputs[0]!.slice(prompt), token]).trim(), traces});
  }

  async #look(picture: Picture, clock: Clock, signal: AbortSignal | undefined): Promise<tf.Tensor4D> {
    await breathe(signal);
    const pixels = await this.pixels(picture);
    clock.lap('preprocess');
    return pixels;
  }

  /** A text's tokens. @throws InputError for one without any */
  #tokens(text: string, what: string): readonly number[] {
    const tokens = this.tokenizer.encode(text);
    if (tokens.length === 0) throw new InputError('text-empty', `the ${what} is empty`);
    return tokens;
  }

  #answer(
    hypotheses: readonly AnswerHypothesis[],
    trace: readonly StackTrace[],
    macs: Macs,
    clock: Clock,
    notes: readonly string[],
  ): Answer {
    clock.lap('decode');
    return {...hypotheses[0]!, hypotheses, layers: layersRun(trace), macs, ms: clock.read(), trace, notes};
  }

  [Symbol.dispose](): void {
    this.model[Symbol.dispose]();
  }
}

/** The one picture's texts. */
async function best(found: ReturnType<typeof searchBeams>): Promise<{texts: readonly Written[]; traces: readonly StackTrace[]}> {
  const {texts, traces} = await found;
  return {texts: texts[0]!, traces};
}

function unsupported(what: string): UsageError {
  return new UsageError('task-unsupported', `this model does not take ${what}`);
}
