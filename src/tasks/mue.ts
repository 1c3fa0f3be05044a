import * as tf from '@tensorflow/tfjs';
import {resizeBicubic, toPixels} from '../data/image.js';
import {removePunctuation} from '../data/text-cleaning.js';
import type {Tokenizer} from '../data/tokenizer.js';
import type {ExitPlans} from '../exit/plan/schema.js';
import type {PolicyPerImage} from '../exit/policy.js';
import {beamSearch, type Hypothesis, type SearchOptions, type SearchStep} from '../generation/fairseq-beam-search.js';
import {TokenTrie} from '../generation/token-trie.js';
import type {Encoded, VisionLanguageModel} from '../models/model.js';
import type {GenerationDefaults} from '../models/ofa/config.js';
import type {OfaModel} from '../models/ofa/model.js';
import {yieldToEventLoop} from '../runtime/yield.js';
import {InputError, UsageError} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import {
  type Answer,
  type AnswerHypothesis,
  answerOf,
  type Entailment,
  type EntailmentLabel,
  entailmentScores,
} from './answer.js';
import type {
  AnswerOptions,
  AnswerWriter,
  AskOptions,
  Assistant,
  EntailmentQuestion,
  EntailmentTokens,
  GenerateOptions,
  Picture,
  PictureQuestion,
  Pictures,
  RunsOn,
  StreamedToken,
} from './assistant.js';
import {checkStreaming} from './check-streaming.js';
import {type ExitChoice, type ResolvedExits, resolveExits, type TaskName} from './exits.js';
import {Clock} from './clock.js';
import {CAPTION_PROMPT, ENTAILMENT_ANSWERS, entailmentPrompt, questionPrompt} from './prompts.js';
import {scoreAnswers} from './score-answers.js';
import {stackPictures} from './stack-pictures.js';

export interface MueParts {
  readonly model: OfaModel;
  readonly tokenizer: Tokenizer;
  readonly pictures: Pictures;
  /** The model folder's own plans. */
  readonly plans?: ExitPlans | undefined;
  /** SHA-256 of the weights; plans made for others are refused. */
  readonly sha256?: string | undefined;
  readonly runsOn?: RunsOn | undefined;
}

/** One picture with its words, as tokens. */
interface Item {
  readonly picture: Picture;
  readonly source: readonly number[];
  /** What the answer must begin with, after the begin symbol. */
  readonly prefix: readonly number[];
}

/** What `beamSearch` needs, and how its finds read: words without what surrounds them. */
interface Search {
  readonly options: SearchOptions;
  readonly read: (found: Hypothesis) => AnswerHypothesis;
}

/** A model with everything around it that a question needs: captions, visual entailment, questions, free prompts. */
export class Mue implements Assistant {
  readonly model: OfaModel;
  readonly tokenizer: Tokenizer;
  readonly sha256: string | undefined;
  readonly plans: ExitPlans | undefined;
  readonly runsOn: RunsOn | undefined;
  readonly #pictures: Pictures;

  /** Takes ownership of the model. */
  constructor({model, tokenizer, pictures, plans, sha256, runsOn}: MueParts) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.plans = plans;
    this.sha256 = sha256;
    this.runsOn = runsOn;
    this.#pictures = pictures;
  }

  /** Describes a picture. @throws InputError, AbortError */
  async caption(picture: Picture, options: GenerateOptions = {}): Promise<Answer> {
    return (await this.captionAll([picture], options))[0]!;
  }

  async captionAll(pictures: readonly Picture[], options: GenerateOptions = {}): Promise<readonly Answer[]> {
    const source = this.#source(CAPTION_PROMPT);
    return await this.#write(
      pictures.map((picture) => ({picture, source, prefix: []})),
      'caption',
      undefined,
      options,
    );
  }

  captionWriter(options: GenerateOptions = {}): AnswerWriter {
    const source = this.#source(CAPTION_PROMPT);
    const {options: settings, read} = this.#search('caption', [[]], undefined, options);
    return {
      source,
      prompt: source.slice(0, 1),
      rows: settings.beams,
      maxSteps: settings.maxLength,
      settings: {...settings},
      write: async (decoding, pictures, policy, {signal} = {}) => {
        const prefixes = new Array<readonly number[]>(pictures).fill([]);
        const {hypotheses, traces} = await beamSearch(decoding, pictures, policy, {...settings, prefixes, signal});
        return hypotheses.map((all, b) => {
          const found = all.length > 0 ? all : [{tokens: [], score: Number.NEGATIVE_INFINITY}];
          return {hypotheses: found.map(read), tokens: found[0]!.tokens, traces: traces[b]!};
        });
      },
    };
  }

  /** Decides whether a picture (and a text premise) entails a hypothesis. @throws InputError, AbortError */
  async entail(
    picture: Picture,
    hypothesis: string,
    options: AnswerOptions & {premise?: string | undefined} = {},
  ): Promise<Entailment> {
    return (await this.entailAll([{picture, hypothesis, premise: options.premise}], options))[0]!;
  }

  async entailAll(
    questions: readonly EntailmentQuestion[],
    options: AnswerOptions = {},
  ): Promise<readonly Entailment[]> {
    const asked = questions.map(({picture, hypothesis, premise}) => ({
      picture,
      ...this.entailmentTokens(hypothesis, premise),
    }));
    const found = await this.#choose(
      asked.map(({picture, source}) => ({picture, source, prefix: []})),
      'snli-ve',
      ENTAILMENT_ANSWERS.map((word) => this.tokenizer.encode(` ${word}`)),
      options,
    );
    return found.map(({scores, ...rest}, i) => {
      const notes = cut(questions[i]!.hypothesis, this.model.config.max_src_length);
      return {...rest, text: rest.text as EntailmentLabel, scores: entailmentScores(scores), notes};
    });
  }

  get readsPremise(): boolean {
    return this.model.config.add_caption;
  }

  /** What an entailment question is to the model: the encoder's prompt, what the decoder is fed, the answers no, yes, maybe. */
  entailmentTokens(hypothesis: string, premise?: string): EntailmentTokens {
    const source = this.#source(
      entailmentPrompt(this.#text(hypothesis, 'hypothesis'), premise, this.model.config.max_src_length),
    );
    return {
      source,
      target: this.#decoderPrompt(source),
      answers: ENTAILMENT_ANSWERS.map((word) => this.tokenizer.encode(` ${word}`)),
    };
  }

  /** Answers a question in any words, or with one of the given answers. @throws InputError, AbortError */
  async ask(picture: Picture, question: string, options: AskOptions = {}): Promise<Answer> {
    return (await this.askAll([{picture, question, objects: options.objects}], options))[0]!;
  }

  async askAll(
    questions: readonly PictureQuestion[],
    options: Omit<AskOptions, 'objects'> = {},
  ): Promise<readonly Answer[]> {
    const {max_src_length} = this.model.config;
    const items = questions.map(({picture, question, objects}): Item => {
      const source = this.#source(questionPrompt(this.#text(question, 'question'), max_src_length, objects));
      return {picture, source, prefix: this.#decoderPrompt(source).slice(1)};
    });
    const answers = options.answers && this.#answers(options.answers);
    const found =
      answers && options.method === 'all-candidates'
        ? (await this.#choose(items, 'vqa', answers, options)).map(({scores: _, ...rest}) => rest)
        : await this.#write(items, 'vqa', answers && new TokenTrie(answers, this.tokenizer.eos), options);
    return found.map((answer, i) => ({...answer, notes: cut(questions[i]!.question, max_src_length)}));
  }

  /** Writes on after any prompt. @throws InputError, AbortError */
  async prompt(picture: Picture, text: string, options: GenerateOptions = {}): Promise<Answer> {
    const asked = this.#text(text, 'prompt');
    const source = this.#source(asked.startsWith(' ') ? asked : ` ${asked}`);
    return (await this.#write([{picture, source, prefix: []}], 'prompt', undefined, options))[0]!;
  }

  /** Normalised pixels [1, size, size, 3], the caller's. */
  async pixels(picture: Picture): Promise<tf.Tensor4D> {
    const {patch_image_size: size, image_mean, image_std} = this.model.config;
    const image = picture instanceof Uint8Array ? await this.#pictures.decode(picture) : picture;
    return tf.tensor4d(toPixels(resizeBicubic(image, size, size), image_mean, image_std), [1, size, size, 3]);
  }

  resolveExits(task: TaskName, choice?: ExitChoice): ResolvedExits {
    return resolveExits(task, choice, {stacks: this.model.stacks, plans: this.plans, sha256: this.sha256});
  }

  /** Begin symbol, words, end symbol. @throws InputError if the model has no positions for so many */
  #source(text: string): number[] {
    const {tokenizer} = this;
    const ids = [tokenizer.bos, ...tokenizer.encode(text), tokenizer.eos];
    const {max_source_positions} = this.model.config;
    if (ids.length > max_source_positions) {
      throw new InputError(
        'text-too-long',
        `the text has ${ids.length} tokens, but the model has positions for ${max_source_positions}`,
        {
          hint: 'Shorten it.',
        },
      );
    }
    return ids;
  }

  #text(text: string, what: string): string {
    if (text.trim() === '') throw new InputError('text-empty', `the ${what} is empty`);
    // Before any cleaning, which would cut it silently.
    this.#source(` ${text}`);
    return text;
  }

  #answers(answers: readonly string[]): readonly (readonly number[])[] {
    const unique = [...new Set(answers.map((a) => a.trim()).filter((a) => a !== ''))];
    if (unique.length === 0) throw new UsageError('answers-empty', 'the list of allowed answers is empty');
    return unique.map((answer) => this.tokenizer.encode(` ${answer}`));
  }

  /** What the decoder is fed before the answer of a closed task. */
  #decoderPrompt(source: readonly number[]): readonly number[] {
    const {prompt_type} = this.model.config;
    if (prompt_type === 'none') return source.slice(0, 1);
    return prompt_type === 'src' ? source : source.slice(0, -1);
  }

  /** Scores given answers. */
  async #choose(
    items: readonly Item[],
    task: TaskName,
    answers: readonly (readonly number[])[],
    {exit, signal}: AnswerOptions,
  ): Promise<readonly (Answer & {scores: readonly number[]})[]> {
    if (items.length === 0) return [];
    using scope = new TensorScope();
    const exits = this.resolveExits(task, exit);
    const {mode} = exits;
    const policy = exits.policiesFor(items.length);
    const clock = new Clock(items.length);
    const encoded = scope.hold(await this.#encode(items, policy, clock, signal));
    const {scores, runs} = await scoreAnswers(this.model, encoded, policy, {
      prompts: items.map(({source}) => this.#decoderPrompt(source)),
      answers,
      mode,
      eos: this.tokenizer.eos,
      signal,
    });
    clock.lap('decode');
    return items.map((_, b) => {
      const hypotheses = answers.map((tokens, i) => ({text: this.#decode(tokens), tokens, score: scores[b]![i]!}));
      // The first of equals wins, as in the release.
      const ranked = [...hypotheses].sort((x, y) => y.score - x.score);
      return {...answerOf(ranked, [encoded.runs[b]!, runs[b]!], clock.read()), scores: scores[b]!};
    });
  }

  /** Writes answers word by word. */
  async #write(
    items: readonly Item[],
    task: TaskName,
    trie: TokenTrie | undefined,
    options: GenerateOptions,
  ): Promise<readonly Answer[]> {
    if (items.length === 0) return [];
    using scope = new TensorScope();
    const {signal, onToken} = options;
    const exits = this.resolveExits(task, options.exit);
    const {mode, skippedKv} = exits;
    const policy = exits.policiesFor(items.length);
    const longest = Math.max(...items.map(({prefix}) => prefix.length));
    // The beams of a batch begin at one step: one that is still being forced would be K rows where alone it is one.
    if (items.some(({prefix}) => prefix.length < longest)) return await this.#writeByLength(items, task, trie, options);
    const prefixes = items.map(({prefix}) => prefix);
    const search = this.#search(task, prefixes, trie, options);
    const {beams, maxLength} = search.options;
    checkStreaming(options, beams, items.length);
    const clock = new Clock(items.length);
    const encoded = scope.hold(await this.#encode(items, policy, clock, signal));
    const model: VisionLanguageModel = this.model;
    const decoding = scope.hold(model.startDecoding(encoded, beams, maxLength, skippedKv));
    const stream = onToken && ((step: SearchStep) => this.#stream(step, longest, onToken));
    const {hypotheses, traces} = await beamSearch(decoding, items.length, policy, {
      ...search.options,
      deadBeamsDecide: mode === 'reference',
      ...(stream ? {onStep: stream} : {}),
      signal,
    });
    clock.lap('decode');
    const {macs} = decoding;
    return items.map((_, b) =>
      answerOf(
        hypotheses[b]!.map((hypothesis) => search.read(hypothesis)),
        [encoded.runs[b]!, {traces: traces[b]!, macs: macs[b]!}],
        clock.read(),
      ),
    );
  }

  /**
   * How a task searches, and reads what it finds. @param prefixes of one length, one a picture
   * @throws UsageError for an option that cannot be; InputError if the prefix leaves no room for an answer
   */
  #search(
    task: TaskName,
    prefixes: readonly (readonly number[])[],
    trie: TokenTrie | undefined,
    options: GenerateOptions,
  ): Search {
    const defaults = this.model.config.generation[task === 'caption' || task === 'vqa' ? task : 'prompt'];
    const {length} = prefixes[0]!;
    const settings = this.#settings(defaults, options, length);
    // fairseq would cut the prefix off and answer nothing.
    if (length >= settings.max_new_tokens) {
      throw new InputError(
        'text-too-long',
        `the question has ${length} tokens; with its answer it may have ${settings.max_new_tokens}`,
        {
          hint: 'Shorten it, or set max_new_tokens.',
        },
      );
    }
    return {
      options: {
        beams: settings.num_beams,
        maxLength: settings.max_new_tokens,
        minLength: settings.min_length,
        noRepeatNgram: settings.no_repeat_ngram_size,
        lengthPenalty: settings.length_penalty,
        normalize: settings.normalize_scores,
        temperature: settings.temperature,
        prefixes,
        ...(trie ? {trie} : {}),
      },
      read: ({tokens, score}) => {
        const words = tokens.slice(length, -1);
        return {text: this.#decode(words, task), tokens: words, score};
      },
    };
  }

  /** Those with prefixes of one length together. */
  async #writeByLength(
    items: readonly Item[],
    task: TaskName,
    trie: TokenTrie | undefined,
    options: GenerateOptions,
  ): Promise<readonly Answer[]> {
    const answers = new Map<Item, Answer>();
    for (const length of new Set(items.map(({prefix}) => prefix.length))) {
      const some = items.filter(({prefix}) => prefix.length === length);
      for (const [i, answer] of (await this.#write(some, task, trie, options)).entries()) answers.set(some[i]!, answer);
    }
    return items.map((item) => answers.get(item)!);
  }

  #settings(
    defaults: GenerationDefaults,
    options: GenerateOptions,
    prefix: number,
  ): GenerationDefaults & {temperature: number} {
    const pick = <K extends keyof GenerateOptions & keyof GenerationDefaults>(key: K): number =>
      Number(options[key] ?? defaults[key]);
    for (const name of ['top_k', 'top_p', 'repetition_penalty', 'rules'] as const)
      if (options[name] !== undefined)
        throw new UsageError('option-unsupported', `${name}: this model searches with beams and does not draw words`);
    const {max_target_positions, vocab_size} = this.model.config;
    const settings = {
      num_beams: Math.min(pick('num_beams'), vocab_size - 1),
      // fairseq counts the forced prefix, so that a limit of 200 for questions is one of the whole target.
      max_new_tokens: Math.min(
        options.max_new_tokens === undefined ? defaults.max_new_tokens : options.max_new_tokens + prefix,
        max_target_positions - 1,
      ),
      min_length: pick('min_length'),
      no_repeat_ngram_size: pick('no_repeat_ngram_size'),
      length_penalty: pick('length_penalty'),
      normalize_scores: defaults.normalize_scores,
      temperature: options.temperature ?? 1,
    };
    const whole = (
      name: 'num_beams' | 'max_new_tokens' | 'min_length' | 'no_repeat_ngram_size',
      least: number,
    ): void => {
      if (!Number.isInteger(settings[name]) || settings[name] < least)
        throw new UsageError('option-invalid', `${name} must be a whole number from ${least}, not ${settings[name]}`);
    };
    whole('num_beams', 1);
    whole('max_new_tokens', 1);
    whole('min_length', 0);
    whole('no_repeat_ngram_size', 0);
    if (!Number.isFinite(settings.length_penalty))
      throw new UsageError('option-invalid', `length_penalty must be a number, not ${settings.length_penalty}`);
    if (!(settings.temperature > 0))
      throw new UsageError('option-invalid', `temperature must be above 0, not ${settings.temperature}`);
    return settings;
  }

  async #encode(
    items: readonly Item[],
    policy: PolicyPerImage,
    clock: Clock,
    signal: AbortSignal | undefined,
  ): Promise<Encoded> {
    using scope = new TensorScope();
    await yieldToEventLoop(signal);
    const pixels = scope.hold(
      await stackPictures(
        items.map(({picture}) => picture),
        (picture) => this.pixels(picture),
      ),
    );
    clock.lap('preprocess');
    const encoded = await this.model.encode({pixels, prompts: items.map(({source}) => source)}, policy, {signal});
    clock.lap('encode');
    return encoded;
  }

  #stream(
    {step, inputs, candidates, traces}: SearchStep,
    prefix: number,
    onToken: (token: StreamedToken) => void,
  ): void {
    const best = candidates[0]![0]!;
    if (step < prefix || best.token === this.tokenizer.eos) return;
    onToken({step, token: best.token, text: this.#decode([...inputs[0]!.slice(1 + prefix), best.token]), traces});
  }

  /** Captions lose their punctuation, as in the release; every text its leading space. */
  #decode(tokens: readonly number[], task?: TaskName): string {
    const text = this.tokenizer.decode(tokens);
    return (task === 'caption' ? removePunctuation(text) : text).trim();
  }

  [Symbol.dispose](): void {
    this.model[Symbol.dispose]();
  }
}

/** Says so where a text is longer than the words that the task keeps. */
function cut(text: string, maxWords: number): string[] {
  const words = text.trim().split(/\s+/u).length;
  return words > maxWords ? [`the text has ${words} words; the first ${maxWords} are used`] : [];
}
