import * as tf from '@tensorflow/tfjs';
import {centreSquare} from '../data/centre-square.js';
import type {ClipTokenizer} from '../data/clip-tokenizer.js';
import {toPixels} from '../data/image.js';
import type {ExitPlans} from '../exit/plan/schema.js';
import type {PolicyPerImage} from '../exit/policy.js';
import {searchBeams} from '../generation/open-clip-beam-search.js';
import {sample} from '../generation/sampling.js';
import type {WritingOptions, WritingStep, Written} from '../generation/step.js';
import type {ContrastiveModel, Embedded, Encoded} from '../models/model.js';
import {yieldToEventLoop} from '../runtime/yield.js';
import {InputError, UsageError} from '../runtime/errors.js';
import {seededRandom} from '../runtime/random.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import {
  type Answer,
  type AnswerHypothesis,
  answerOf,
  type Embedding,
  type Entailment,
  entailmentScores,
  layersRun,
} from './answer.js';
import type {
  AnswerOptions,
  AnswerWriter,
  Assistant,
  Embedder,
  EntailmentQuestion,
  EntailmentTokens,
  GenerateOptions,
  Picture,
  Pictures,
  RunsOn,
} from './assistant.js';
import {checkStreaming} from './check-streaming.js';
import {type ExitChoice, type ResolvedExits, resolveExits, type TaskName} from './exits.js';
import {Clock} from './clock.js';
import {ENTAILMENT_ANSWERS} from './prompts.js';
import {scoreAnswers} from './score-answers.js';
import {stackPictures} from './stack-pictures.js';
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
    return (await this.captionAll([picture], options))[0]!;
  }

  async captionAll(pictures: readonly Picture[], options: GenerateOptions = {}): Promise<readonly Answer[]> {
    return await this.#write(pictures, 'caption', [this.tokenizer.bos], options);
  }

  captionWriter(options: GenerateOptions = {}): AnswerWriter {
    return this.#writer([this.tokenizer.bos], options);
  }

  /** Writes on after the beginning of a caption. */
  async prompt(picture: Picture, text: string, options: GenerateOptions = {}): Promise<Answer> {
    return (await this.#write([picture], 'prompt', [this.tokenizer.bos, ...this.#tokens(text, 'prompt')], options))[0]!;
  }

  async entail(
    picture: Picture,
    hypothesis: string,
    options: AnswerOptions & {premise?: string | undefined} = {},
  ): Promise<Entailment> {
    return (await this.entailAll([{picture, hypothesis, premise: options.premise}], options))[0]!;
  }

  /** Scores the three captions "hypothesis? no", "… yes" and "… maybe": models are to be fine-tuned on such captions. */
  async entailAll(
    questions: readonly EntailmentQuestion[],
    options: AnswerOptions = {},
  ): Promise<readonly Entailment[]> {
    if (questions.length === 0) return [];
    using scope = new TensorScope();
    const {signal} = options;
    const exits = this.resolveExits('snli-ve', options.exit);
    const {mode} = exits;
    const policy = exits.policiesFor(questions.length);
    const asked = questions.map(({hypothesis, premise}) => this.entailmentTokens(hypothesis, premise));
    const {answers} = asked[0]!;
    const clock = new Clock(questions.length);
    const encoded = scope.hold(
      await this.#encode(
        questions.map(({picture}) => picture),
        policy,
        clock,
        signal,
      ),
    );
    const prompts = asked.map(({target}) => target);
    const {scores, runs} = await scoreAnswers(this.model, encoded, policy, {
      prompts,
      answers,
      mode,
      eos: this.tokenizer.eos,
      signal,
    });
    clock.lap('decode');
    return questions.map(({hypothesis}, b) => {
      const row = scores[b]!;
      const hypotheses = ENTAILMENT_ANSWERS.map((text, i) => ({text, tokens: answers[i]!, score: row[i]!}));
      // The first of equals wins, as with other models.
      const ranked = hypotheses.toSorted((x, y) => y.score - x.score);
      const used = prompts[b]!.length;
      const cut = used - 1 < this.tokenizer.encode(`${hypothesis}?`).length;
      const notes = cut
        ? [`the hypothesis is longer than the model's context; its first ${used - 2} tokens are used`]
        : [];
      return {
        ...answerOf(ranked, [encoded.runs[b]!, runs[b]!], clock.read(), notes),
        text: ranked[0]!.text,
        scores: entailmentScores(row),
      };
    });
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

  askAll(): Promise<readonly Answer[]> {
    return this.ask().then((answer) => [answer]);
  }

  async pixels(picture: Picture): Promise<tf.Tensor4D> {
    const {size, mean, std} = this.#square;
    const image = picture instanceof Uint8Array ? await this.#pictures.decode(picture) : picture;
    return tf.tensor4d(toPixels(centreSquare(image, size), mean, std), [1, size, size, 3]);
  }

  resolveExits(task: TaskName, choice?: ExitChoice): ResolvedExits {
    return resolveExits(task, choice, {stacks: this.model.stacks, plans: this.plans, sha256: this.sha256});
  }

  async embedPicture(picture: Picture, options: AnswerOptions = {}): Promise<Embedding> {
    using scope = new TensorScope();
    const {policy} = this.resolveExits('embed', options.exit);
    const clock = new Clock();
    const pixels = scope.hold(await this.#look([picture], clock, options.signal));
    const embedded = await this.model.embedImages(pixels, policy, {signal: options.signal});
    return (await this.#embeddings(embedded, clock, [[]]))[0]!;
  }

  async embedText(text: string, options: AnswerOptions = {}): Promise<Embedding> {
    return (await this.embedTexts([text], options))[0]!;
  }

  async embedTexts(texts: readonly string[], options: AnswerOptions = {}): Promise<readonly Embedding[]> {
    if (texts.length === 0) return [];
    const {policy} = this.resolveExits('embed', options.exit);
    const clock = new Clock(texts.length);
    const {contextLength} = this.model;
    const all = texts.map((text) => this.tokenizer.sequence(text, contextLength));
    clock.lap('preprocess');
    const embedded = await this.model.embedTexts(
      all.map(({ids}) => ids),
      policy,
      {signal: options.signal},
    );
    const notes = all.map(({cut}) =>
      cut > 0
        ? [`the text is longer than the model's context of ${contextLength}: its last ${cut} tokens are cut off`]
        : [],
    );
    return await this.#embeddings(embedded, clock, notes);
  }

  /** @param notes of each row */
  async #embeddings(
    {features, runs}: Embedded,
    clock: Clock,
    notes: readonly (readonly string[])[],
  ): Promise<Embedding[]> {
    using scope = new TensorScope();
    const values = (await scope.hold(features).data()) as Float32Array;
    if (!values.every(Number.isFinite))
      throw new InputError('score-not-finite', 'the embedding is not made of numbers', {
        hint: 'Damaged weights give such embeddings.',
      });
    clock.lap('encode');
    const size = values.length / runs.length;
    return runs.map(({traces, macs}, r) => ({
      vector: values.slice(r * size, (r + 1) * size),
      layers: layersRun(traces),
      macs,
      ms: clock.read(),
      trace: traces,
      notes: notes[r]!,
    }));
  }

  /** Writes captions word by word. */
  async #write(
    pictures: readonly Picture[],
    task: TaskName,
    prompt: readonly number[],
    options: GenerateOptions,
  ): Promise<readonly Answer[]> {
    if (pictures.length === 0) return [];
    using scope = new TensorScope();
    const {signal} = options;
    const exits = this.resolveExits(task, options.exit);
    const {skippedKv} = exits;
    const policy = exits.policiesFor(pictures.length);
    const writer = this.#writer(prompt, options);
    checkStreaming(options, writer.rows, pictures.length);
    const clock = new Clock(pictures.length);
    const encoded = scope.hold(await this.#encode(pictures, policy, clock, signal));
    const decoding = scope.hold(this.model.startDecoding(encoded, writer.rows, writer.maxSteps, skippedKv));
    const written = await writer.write(decoding, pictures.length, policy, {signal});
    clock.lap('decode');
    const {macs} = decoding;
    return written.map(({hypotheses, traces}, b) =>
      answerOf(hypotheses, [encoded.runs[b]!, {traces, macs: macs[b]!}], clock.read()),
    );
  }

  /** How texts that begin with a prompt are written. @throws UsageError, InputError as `writingSettings` */
  #writer(prompt: readonly number[], options: GenerateOptions): AnswerWriter {
    const {onToken, seed = 0} = options;
    const {contextLength, vocabularySize} = this.model;
    const settings = writingSettings(this.#generation, options, {prompt: prompt.length, contextLength, vocabularySize});
    const {beams, maxLength} = settings;
    const onStep = onToken && ((step: WritingStep) => this.#stream(step, prompt.length, onToken));
    return {
      source: [],
      prompt,
      rows: beams ?? 1,
      maxSteps: maxLength,
      settings: {...settings, seed},
      write: async (decoding, pictures, policy, {signal} = {}) => {
        const writing: WritingOptions = {...settings, prompt, end: this.tokenizer.eos, signal, onStep};
        const {texts, traces} =
          beams === undefined
            ? await drawn(
                sample(decoding, pictures, policy, {...settings, ...writing, random: () => seededRandom(seed)}),
              )
            : await searchBeams(decoding, pictures, policy, {...writing, beams});
        return texts.map((found, b) => ({
          hypotheses: found.map((text) => this.#hypothesis(text, prompt.length)),
          tokens: found[0]!.tokens.slice(prompt.length),
          traces: traces[b]!,
        }));
      },
    };
  }

  #hypothesis({tokens, score}: Written, prompt: number): AnswerHypothesis {
    const words = tokens.slice(prompt, tokens.at(-1) === this.tokenizer.eos ? -1 : undefined);
    return {text: this.tokenizer.decode(words).trim(), tokens: words, score};
  }

  #stream(
    {step, inputs, tokens, traces}: WritingStep,
    prompt: number,
    onToken: NonNullable<GenerateOptions['onToken']>,
  ): void {
    const [token] = tokens as [number];
    if (token === this.tokenizer.eos) return;
    onToken({step, token, text: this.tokenizer.decode([...inputs[0]!.slice(prompt), token]).trim(), traces});
  }

  async #look(pictures: readonly Picture[], clock: Clock, signal: AbortSignal | undefined): Promise<tf.Tensor4D> {
    await yieldToEventLoop(signal);
    const pixels = await stackPictures(pictures, (picture) => this.pixels(picture));
    clock.lap('preprocess');
    return pixels;
  }

  async #encode(
    pictures: readonly Picture[],
    policy: PolicyPerImage,
    clock: Clock,
    signal: AbortSignal | undefined,
  ): Promise<Encoded> {
    using scope = new TensorScope();
    const pixels = scope.hold(await this.#look(pictures, clock, signal));
    const encoded = await this.model.encode({pixels, prompts: pictures.map(() => [])}, policy, {signal});
    clock.lap('encode');
    return encoded;
  }

  /** A text's tokens. @throws InputError for one without any */
  #tokens(text: string, what: string): readonly number[] {
    const tokens = this.tokenizer.encode(text);
    if (tokens.length === 0) throw new InputError('text-empty', `the ${what} is empty`);
    return tokens;
  }

  [Symbol.dispose](): void {
    this.model[Symbol.dispose]();
  }
}

/** One text a picture, as a search would give them. */
async function drawn(found: ReturnType<typeof sample>): ReturnType<typeof searchBeams> {
  const {texts, traces} = await found;
  return {texts: texts.map((text) => [text]), traces};
}

function unsupported(what: string): UsageError {
  return new UsageError('task-unsupported', `this model does not take ${what}`);
}
