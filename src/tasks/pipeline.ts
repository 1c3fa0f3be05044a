import * as tf from '@tensorflow/tfjs';
import type {EntailmentLabel} from '../data/dataset.js';
import type {RgbImage} from '../data/image.js';
import type {ExitPlans} from '../exit/plan/schema.js';
import type {PolicyPerImage} from '../exit/policy.js';
import type {SkippedKv} from '../exit/skipped-kv-cache.js';
import {writingStack} from '../exit/stacks.js';
import {DraftedDecoding} from '../generation/drafted-decoding.js';
import type {DraftableDecoding, Encoded, VisionLanguageModel} from '../models/model.js';
import type {ExitAdapters} from '../nn/exit-adapters.js';
import {checkArguments, fields, FUNCTION, type Kind, OBJECT} from '../runtime/check-arguments.js';
import type {ConcreteDevice} from '../runtime/devices.js';
import {UsageError} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import {yieldToEventLoop} from '../runtime/yield.js';
import {type Answer, answerOf, Clock, type Entailment, entailmentScores} from './answer.js';
import {type ExitChoice, type ResolvedExits, resolveExits, type TaskName} from './exits.js';
import {checkOptions, checkText} from '../runtime/check-options.js';
import {
  ANSWER_OPTIONS,
  type AnswerOptions,
  checkDrafting,
  checkStreaming,
  GENERATE_OPTIONS,
  type GenerateOptions,
} from './generation-options.js';
import type {AllowedAnswer, AnswerWriter, EntailmentTokens, Processor, Prompt} from './processor.js';
import {bytesOf, checkedImage, type ImageDecoder, type Picture} from './pictures.js';
import {ENTAILMENT_ANSWERS} from './prompts.js';
import {scoreAnswers} from './score-answers.js';

/** The device that a model computes on. */
export interface RunsOn {
  /** Name for `--device`. */
  readonly device: ConcreteDevice;
  /** Name of the tfjs backend. */
  readonly backend: string;
  /** One line for people: what runs, and why not something faster. */
  readonly note: string;
}

export interface AskOptions extends GenerateOptions {
  /** The answers that are allowed; any words by default. */
  readonly answers?: readonly string[];
  /** Search among the allowed answers with a trie (default), or score each of them (`all-candidates`). */
  readonly method?: 'trie' | 'all-candidates';
  /** Names of objects in the image, for models trained with them in the prompt (`add_object`). */
  readonly objects?: readonly string[];
}

/** A hypothesis about an image. */
export interface EntailmentQuestion {
  readonly picture: Picture;
  readonly hypothesis: string;
  /** A text that holds beside the image. */
  readonly premise?: string;
}

export interface PictureQuestion {
  readonly picture: Picture;
  readonly question: string;
  /** Names of objects in the image, for models trained with them in the prompt (`add_object`). */
  readonly objects?: readonly string[];
}

export interface PipelineParts<M extends VisionLanguageModel> {
  readonly model: M;
  readonly pictures: ImageDecoder;
  /** The model folder's own plans. */
  readonly plans?: ExitPlans;
  /** SHA-256 of the weights; plans made for others are refused. */
  readonly sha256?: string;
  readonly runsOn?: RunsOn;
  /** What stands between early exits and the head, by task. */
  readonly exitAdapters?: TaskAdapters;
  /** Data sets that tell nothing about them any more, where they are known. */
  readonly learntFrom?: LearntFrom;
}

/** What every pipeline needs of its parts. */
const PIPELINE_PARTS: Kind = fields({model: OBJECT, pictures: fields({decode: FUNCTION})});

/** Exit adapters by the task that they were trained for; other tasks run without. */
export type TaskAdapters = Readonly<Partial<Record<TaskName, ExitAdapters>>>;
/** SHA-256 of the data set that a task's exit adapters learnt from. */
export type LearntFrom = Readonly<Partial<Record<TaskName, string>>>;

/** One image with its request as tokens. */
interface Item {
  readonly picture: Picture;
  readonly prompt: Prompt;
}

/**
 * A model of any family with everything around it that a request needs: captions, visual entailment, questions, free
 * prompts. Requests that the family does not take are UsageErrors `task-unsupported`. Every request throws InputError
 * for an image or text that cannot be used, and AbortError if its signal fires. Owns the model and the exit adapters.
 */
export class VisionLanguagePipeline<
  M extends VisionLanguageModel = VisionLanguageModel,
  P extends Processor = Processor,
> implements Disposable
{
  readonly model: M;
  /** SHA-256 of the weights. */
  readonly sha256: string | undefined;
  /** The model folder's own plans. */
  readonly plans: ExitPlans | undefined;
  readonly runsOn: RunsOn | undefined;
  /** What stands between early exits and the head, by task; borrowed. */
  readonly exitAdapters: TaskAdapters;
  /** SHA-256 of the data set that each task's adapters learnt from, where it is known. */
  readonly learntFrom: LearntFrom;
  readonly #images: ImageDecoder;
  #disposed = false;

  /** Takes ownership of the model and the adapters. */
  constructor(
    parts: PipelineParts<M>,
    protected readonly processor: P,
  ) {
    checkArguments('a pipeline', {parts: [parts, PIPELINE_PARTS], processor: [processor, OBJECT]});
    const {model, pictures, plans, sha256, runsOn, exitAdapters = {}, learntFrom = {}} = parts;
    this.model = model;
    this.plans = plans;
    this.sha256 = sha256;
    this.runsOn = runsOn;
    this.exitAdapters = exitAdapters;
    this.learntFrom = learntFrom;
    this.#images = pictures;
  }

  get tokenizer(): P['tokenizer'] {
    return this.processor.tokenizer;
  }

  /** Whether the model was trained with a text premise beside the image. */
  get readsPremise(): boolean {
    return this.processor.readsPremise;
  }

  /** Describes an image. */
  async caption(picture: Picture, options: GenerateOptions = {}): Promise<Answer> {
    return (await this.captionAll([picture], options))[0]!;
  }

  /**
   * Describes several images in one batch. Each leaves when its own states say so: words, exits and
   * multiply-accumulates are those that it has alone; of the time each has an equal share.
   * @throws UsageError `batch-reference`, `batch-policy`, `batch-skipped-kv`: exits that images cannot take each for
   *   itself
   */
  async captionAll(pictures: readonly Picture[], options: GenerateOptions = {}): Promise<readonly Answer[]> {
    checkOptions(options, GENERATE_OPTIONS, 'caption');
    const prompt = this.processor.captionPrompt();
    return await this.#generate(
      pictures.map((picture) => ({picture, prompt})),
      'caption',
      options,
    );
  }

  /** How `caption` generates, for callers that run many exits on one image and share its encodings. */
  captionWriter(options: GenerateOptions = {}): AnswerWriter {
    return this.processor.writer('caption', [this.processor.captionPrompt()], options);
  }

  /** A caption as the model was trained to write it, with its end symbol. */
  captionTokens(text: string): readonly number[] {
    return this.processor.captionTokens(text);
  }

  /** Decides whether an image (and a text premise) entails a hypothesis. */
  async entail(
    picture: Picture,
    hypothesis: string,
    options: AnswerOptions & {premise?: string} = {},
  ): Promise<Entailment> {
    return (await this.entailAll([{picture, hypothesis, premise: options.premise}], options))[0]!;
  }

  /** Several at once; see captionAll. */
  async entailAll(
    questions: readonly EntailmentQuestion[],
    options: AnswerOptions = {},
  ): Promise<readonly Entailment[]> {
    checkOptions(options, [...ANSWER_OPTIONS, 'premise'], 'entail');
    const prompts = questions.map(({hypothesis, premise}) => {
      checkText(hypothesis, 'hypothesis');
      if (premise !== undefined) checkText(premise, 'premise');
      return this.processor.entailmentPrompt(hypothesis, premise);
    });
    const items = questions.map(({picture}, i) => ({picture, prompt: prompts[i]!}));
    const answers = ENTAILMENT_ANSWERS.map((text, i) => ({text, tokens: prompts[0]?.answers[i] ?? []}));
    const scored = await this.#score(items, 'snli-ve', answers, options);
    return scored.map(({answer, scores}) => ({
      ...answer,
      text: answer.text as EntailmentLabel,
      scores: entailmentScores(scores),
      notes: answer.notes,
    }));
  }

  /** An entailment question as tokens, for callers that score it at many exits. */
  entailmentTokens(hypothesis: string, premise?: string): EntailmentTokens {
    const {source, target, answers} = this.processor.entailmentPrompt(hypothesis, premise);
    return {source, target, answers};
  }

  /** A question as tokens. */
  questionTokens(question: string, objects?: readonly string[]): Pick<Prompt, 'source' | 'target'> {
    const {source, target} = this.processor.questionPrompt(question, objects);
    return {source, target};
  }

  /** An answer as tokens, without the end symbol. */
  answerTokens(answer: string): readonly number[] {
    return this.processor.allowedAnswers([answer]).answers[0]!.tokens;
  }

  /** Answers a question in any words, or with one of the given answers. */
  async ask(picture: Picture, question: string, options: AskOptions = {}): Promise<Answer> {
    return (await this.askAll([{picture, question, objects: options.objects}], options))[0]!;
  }

  /** Several at once; see captionAll. */
  async askAll(
    questions: readonly PictureQuestion[],
    options: Omit<AskOptions, 'objects'> = {},
  ): Promise<readonly Answer[]> {
    checkOptions(options, [...GENERATE_OPTIONS, 'answers', 'method', 'objects'], 'ask');
    const items = questions.map(({picture, question, objects}) => {
      checkText(question, 'question');
      return {picture, prompt: this.processor.questionPrompt(question, objects)};
    });
    if (!options.answers) return await this.#generate(items, 'vqa', options);
    const {answers, notes} = this.processor.allowedAnswers(options.answers);
    const found =
      options.method === 'all-candidates'
        ? (await this.#score(items, 'vqa', answers, options)).map(({answer}) => answer)
        : await this.#generate(items, 'vqa', options, answers);
    return found.map((answer) => ({...answer, notes: [...answer.notes, ...notes]}));
  }

  /** Continues any prompt. */
  async prompt(picture: Picture, text: string, options: GenerateOptions = {}): Promise<Answer> {
    checkOptions(options, GENERATE_OPTIONS, 'prompt');
    checkText(text, 'prompt');
    const prompt = this.processor.freePrompt(text);
    return (await this.#generate([{picture, prompt}], 'prompt', options))[0]!;
  }

  /** Normalised pixels [1, size, size, 3], the caller's. */
  async pixels(picture: Picture, signal?: AbortSignal): Promise<tf.Tensor4D> {
    return await this.processor.pixels(await this.#decode(picture, signal), signal);
  }

  /** @throws UsageError for a plan that does not fit this model or task */
  resolveExits(task: TaskName, choice?: ExitChoice): ResolvedExits {
    const {stacks, optionalStacks} = this.model as VisionLanguageModel;
    return resolveExits(task, choice, {stacks: {...stacks, ...optionalStacks}, plans: this.plans, sha256: this.sha256});
  }

  async #decode(picture: Picture, signal?: AbortSignal): Promise<RgbImage> {
    const bytes = await bytesOf(picture);
    return bytes ? await this.#images.decode(bytes, signal) : checkedImage(picture);
  }

  /** Generates answers token by token. @param answers the allowed ones; any words by default */
  async #generate(
    items: readonly Item[],
    task: TaskName,
    options: GenerateOptions,
    answers?: readonly AllowedAnswer[],
  ): Promise<readonly Answer[]> {
    if (items.length === 0) return [];
    using scope = new TensorScope();
    const {signal} = options;
    const exits = this.resolveExits(task, options.exit);
    const policy = exits.policiesFor(items.length);
    // The beams of a batch begin at one step: a prompt that is still being fed would be K rows where alone it is one.
    const lengths = new Set(items.map(({prompt}) => prompt.target.length));
    if (lengths.size > 1) return await this.#generateByLength(items, [...lengths], task, options, answers);
    const prompts = items.map(({prompt}) => prompt);
    const writer = this.processor.writer(task, prompts, options, answers);
    checkStreaming(options, writer.rows, items.length);
    if (exits.policy.drafting) checkDrafting(writer.rows);
    const clock = new Clock(items.length);
    const encoded = scope.hold(await this.#encode(items, policy, clock, signal));
    const model: VisionLanguageModel = this.model;
    const start = (skipped: SkippedKv): DraftableDecoding =>
      model.startDecoding(encoded, writer.rows, writer.maxSteps, skipped, this.exitAdapters[task]);
    const {drafting} = exits.policy;
    const stack = writingStack(model.stacks);
    const drafted =
      drafting && new DraftedDecoding(() => start('just-in-time'), items.length, stack, model.stacks[stack]!, drafting);
    const decoding = scope.hold(drafted ?? start(exits.skippedKv));
    const includeDeadBeams = exits.mode === 'reference';
    const generated = await writer.write(decoding, items.length, policy, {signal, includeDeadBeams});
    clock.lap('decode');
    const {macs} = decoding;
    return generated.map(({hypotheses, traces}, b) => ({
      ...answerOf(hypotheses, [encoded.runs[b]!, {traces, macs: macs[b]!}], clock.read(), prompts[b]!.notes),
      ...(drafted && {drafting: drafted.counts[b]!}),
    }));
  }

  /** Generates for the items with prompts of one length together. */
  async #generateByLength(
    items: readonly Item[],
    lengths: readonly number[],
    task: TaskName,
    options: GenerateOptions,
    answers?: readonly AllowedAnswer[],
  ): Promise<readonly Answer[]> {
    const found = new Map<Item, Answer>();
    for (const length of lengths) {
      const group = items.filter(({prompt}) => prompt.target.length === length);
      const generated = await this.#generate(group, task, options, answers);
      for (const [i, answer] of generated.entries()) found.set(group[i]!, answer);
    }
    return items.map((item) => found.get(item)!);
  }

  /** Scores given answers. @returns for each item the answer, and the scores in the order of `answers` */
  async #score(
    items: readonly Item[],
    task: TaskName,
    answers: readonly AllowedAnswer[],
    {exit, signal}: AnswerOptions,
  ): Promise<readonly {readonly answer: Answer; readonly scores: readonly number[]}[]> {
    if (items.length === 0) return [];
    using scope = new TensorScope();
    const exits = this.resolveExits(task, exit);
    const policy = exits.policiesFor(items.length);
    const clock = new Clock(items.length);
    const encoded = scope.hold(await this.#encode(items, policy, clock, signal));
    const {scores, runs} = await scoreAnswers(this.model, encoded, policy, {
      prompts: items.map(({prompt}) => prompt.target),
      answers: answers.map(({tokens}) => tokens),
      mode: exits.mode,
      eos: this.tokenizer.eos,
      adapters: this.exitAdapters[task],
      signal,
    });
    clock.lap('decode');
    return items.map(({prompt}, b) => {
      const own = scores[b]!;
      // The first of equals wins, as in the release.
      const ranked = answers.map((answer, i) => ({...answer, score: own[i]!})).sort((x, y) => y.score - x.score);
      return {answer: answerOf(ranked, [encoded.runs[b]!, runs[b]!], clock.read(), prompt.notes), scores: own};
    });
  }

  async #encode(
    items: readonly Item[],
    policy: PolicyPerImage,
    clock: Clock,
    signal: AbortSignal | undefined,
  ): Promise<Encoded> {
    using scope = new TensorScope();
    this.checkUsable();
    const pictures = items.map(({picture}) => picture);
    const pixels = scope.hold(await this.stackedPixels(pictures, signal));
    clock.lap('preprocess');
    const prompts = items.map(({prompt}) => prompt.source);
    const encoded = await this.model.encode({pixels, prompts}, policy, {signal});
    clock.lap('encode');
    return encoded;
  }

  /** Pixels of several images, decoded one after the other. @returns [B, h, w, 3], the caller's */
  protected async stackedPixels(pictures: readonly Picture[], signal: AbortSignal | undefined): Promise<tf.Tensor4D> {
    using scope = new TensorScope();
    await yieldToEventLoop(signal);
    const each: tf.Tensor4D[] = [];
    for (const picture of pictures) each.push(scope.hold(await this.pixels(picture, signal)));
    return each.length === 1 ? scope.give(each[0]!) : tf.concat(each);
  }

  /** @throws UsageError after the pipeline was disposed */
  protected checkUsable(): void {
    if (this.#disposed) throw new UsageError('disposed', 'the model was disposed: it cannot answer any more');
  }

  /** Frees the model; the same as leaving the block of `using`. */
  dispose(): void {
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.model[Symbol.dispose]();
    for (const adapters of Object.values(this.exitAdapters)) adapters[Symbol.dispose]();
  }
}
