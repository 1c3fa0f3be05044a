import * as tf from '@tensorflow/tfjs';
import {type RgbImage, resizeBicubic, toPixels} from '../data/image.js';
import {removePunctuation} from '../data/text-cleaning.js';
import type {Tokenizer} from '../data/tokenizer.js';
import {type ExitPlan, type ExitPlans, NEVER_PLAN, planPolicy, releasePlan} from '../exit/plan.js';
import type {Deciders, ExitPolicy} from '../exit/policy.js';
import type {Mode} from '../exit/similarity.js';
import type {SkippedKv} from '../exit/skipped-kv.js';
import {addMacs, type PictureRun, type StackTrace} from '../exit/trace.js';
import {beamSearch, type Hypothesis, type SearchOptions, type SearchStep} from '../generation/beam-search.js';
import {TokenTrie} from '../generation/token-trie.js';
import type {Encoded, VisionLanguageModel} from '../models/model.js';
import type {GenerationDefaults} from '../models/ofa/config.js';
import type {OfaModel} from '../models/ofa/model.js';
import {breathe} from '../runtime/breathe.js';
import {InputError, UsageError} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import {Clock} from './clock.js';
import {type Answer, type AnswerHypothesis, type Entailment, type EntailmentLabel, layersRun} from './answer.js';
import {CAPTION_PROMPT, ENTAILMENT_ANSWERS, entailmentPrompt, questionPrompt} from './prompts.js';
import {scoreAnswers} from './score-answers.js';

export type TaskName = 'caption' | 'snli-ve' | 'vqa' | 'prompt';

/** A policy of the caller's own, with what surrounds it. */
export interface CustomExit {
  readonly policy: ExitPolicy;
  readonly mode?: Mode;
  readonly skippedKv?: SkippedKv;
}

/**
 * When to stop: `model` the model folder's own plan (never, if it has none), `never`, `release` the authors' scripts in
 * reference mode, a plan, or a policy.
 */
export type ExitChoice = 'model' | 'never' | 'release' | ExitPlan | CustomExit;

/** A token as it is written; beam 1 only. */
export interface StreamedToken {
  readonly step: number;
  readonly token: number;
  /** The text so far. */
  readonly text: string;
  readonly traces: readonly StackTrace[];
}

export interface AnswerOptions {
  readonly exit?: ExitChoice | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Names are Hugging Face's; what is left out comes from the model's configuration. */
export interface GenerateOptions extends AnswerOptions {
  readonly num_beams?: number | undefined;
  readonly max_new_tokens?: number | undefined;
  readonly min_length?: number | undefined;
  readonly no_repeat_ngram_size?: number | undefined;
  readonly length_penalty?: number | undefined;
  readonly temperature?: number | undefined;
  readonly onToken?: ((token: StreamedToken) => void) | undefined;
}

export interface AskOptions extends GenerateOptions {
  /** The answers that are allowed; any words if left out. */
  readonly answers?: readonly string[] | undefined;
  /** Search among the allowed answers with a trie (default), or score each of them (`all-candidates`). */
  readonly method?: 'trie' | 'all-candidates' | undefined;
  /** Names of objects in the picture, for models trained with them in the prompt (`add_object`). */
  readonly objects?: readonly string[] | undefined;
}

/** What a platform lends. */
export interface Pictures {
  /** @throws InputError if the bytes are no picture that it knows, or too large. */
  decode(bytes: Uint8Array): Promise<RgbImage>;
}

/** How an answer is searched for, whatever the encoding comes from: what `beamSearch` needs for one picture, and how its finds read. */
export interface AnswerSearch {
  /** The prompt of the encoder. */
  readonly source: readonly number[];
  readonly options: SearchOptions;
  /** Words without what surrounds them. */
  read(found: Hypothesis): AnswerHypothesis;
}

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

/** Where a model computes. */
export interface RunsOn {
  /** What `--device` calls it: native, cuda, webgpu, onnx, wasm or cpu. */
  readonly device: string;
  /** What tfjs calls it. */
  readonly backend: string;
  /** One line for people: what runs, and why not something faster. */
  readonly note: string;
}

/** Bytes of a picture file, or a decoded picture. */
export type Picture = Uint8Array | RgbImage;

/** What a picture is said to show. */
export interface EntailmentQuestion {
  readonly picture: Picture;
  readonly hypothesis: string;
  readonly premise?: string | undefined;
}

export interface PictureQuestion {
  readonly picture: Picture;
  readonly question: string;
  /** Names of objects in the picture, for models trained with them in the prompt (`add_object`). */
  readonly objects?: readonly string[] | undefined;
}

/** One picture with its words, as tokens. */
interface Item {
  readonly picture: Picture;
  readonly source: readonly number[];
  /** What the answer must begin with, after the begin symbol. */
  readonly prefix: readonly number[];
}

/** A model with everything around it that a question needs: captions, visual entailment, questions, free prompts. */
export class Mue implements Disposable {
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

  /**
   * Describes several pictures in one batch. Each leaves when its own states say so: words and exits are those that it gets
   * alone, and so are its costs; of the time each gets an equal share.
   * @throws UsageError `batch-reference`, `batch-policy`, `batch-skipped-kv`: exits that pictures cannot take each for itself
   */
  async captionAll(pictures: readonly Picture[], options: GenerateOptions = {}): Promise<readonly Answer[]> {
    const source = this.#source(CAPTION_PROMPT);
    return await this.#write(
      pictures.map((picture) => ({picture, source, prefix: []})),
      'caption',
      undefined,
      options,
    );
  }

  /** How `caption` searches. For callers that run many exits on one picture and share its encodings. */
  captionSearch(options: GenerateOptions = {}): AnswerSearch {
    return {source: this.#source(CAPTION_PROMPT), ...this.#search('caption', [[]], undefined, options)};
  }

  /** Decides whether a picture (and a text premise) entails a hypothesis. @throws InputError, AbortError */
  async entail(picture: Picture, hypothesis: string, options: AnswerOptions & {premise?: string | undefined} = {}): Promise<Entailment> {
    return (await this.entailAll([{picture, hypothesis, premise: options.premise}], options))[0]!;
  }

  /** Several at once; see captionAll. */
  async entailAll(questions: readonly EntailmentQuestion[], options: AnswerOptions = {}): Promise<readonly Entailment[]> {
    const asked = questions.map(({picture, hypothesis, premise}) => ({picture, ...this.entailmentTokens(hypothesis, premise)}));
    const found = await this.#choose(
      asked.map(({picture, source}) => ({picture, source, prefix: []})),
      'snli-ve',
      ENTAILMENT_ANSWERS.map((word) => this.tokenizer.encode(` ${word}`)),
      options,
    );
    return found.map(({scores, ...rest}, i) => {
      const all = Object.fromEntries(ENTAILMENT_ANSWERS.map((word, w) => [word, scores[w]!])) as Record<EntailmentLabel, number>;
      const notes = cut(questions[i]!.hypothesis, this.model.config.max_src_length);
      return {...rest, text: rest.text as EntailmentLabel, scores: all, notes};
    });
  }

  /** What an entailment question is to the model: the encoder's prompt, what the decoder is fed, the answers no, yes, maybe. */
  entailmentTokens(
    hypothesis: string,
    premise?: string,
  ): {source: readonly number[]; target: readonly number[]; answers: readonly (readonly number[])[]} {
    const source = this.#source(entailmentPrompt(this.#text(hypothesis, 'hypothesis'), premise, this.model.config.max_src_length));
    return {source, target: this.#decoderPrompt(source), answers: ENTAILMENT_ANSWERS.map((word) => this.tokenizer.encode(` ${word}`))};
  }

  /** Answers a question in any words, or with one of the given answers. @throws InputError, AbortError */
  async ask(picture: Picture, question: string, options: AskOptions = {}): Promise<Answer> {
    return (await this.askAll([{picture, question, objects: options.objects}], options))[0]!;
  }

  /** Several at once; see captionAll. */
  async askAll(questions: readonly PictureQuestion[], options: Omit<AskOptions, 'objects'> = {}): Promise<readonly Answer[]> {
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

  /** The policy and its surroundings for one answer. @throws UsageError for a plan that does not fit this model or task */
  exits(task: TaskName, choice: ExitChoice = 'model'): {policy: ExitPolicy; mode: Mode; skippedKv: SkippedKv} {
    if (typeof choice === 'object' && 'policy' in choice) return {mode: 'corrected', skippedKv: 'project', ...choice};
    const plan = typeof choice === 'object' ? choice : this.#namedPlan(task, choice);
    if (plan.model && this.sha256 && plan.model !== this.sha256) {
      throw new UsageError(
        'plan-model',
        `the exit plan was made for the weights ${plan.model.slice(0, 12)}…, but these are ${this.sha256.slice(0, 12)}…`,
        {
          hint: 'Thresholds mean nothing for another model: calibrate again with `mue calibrate`.',
        },
      );
    }
    if (plan.task && plan.task !== task)
      throw new UsageError('plan-task', `the exit plan was made for the task '${plan.task}', not for '${task}'`);
    return {policy: planPolicy(plan, this.model.stacks), mode: plan.mode, skippedKv: plan.skippedKv};
  }

  /** The same for several pictures, each of which decides for itself. @throws UsageError where they cannot */
  #deciders(task: TaskName, choice: ExitChoice | undefined, pictures: number): {policy: Deciders; mode: Mode; skippedKv: SkippedKv} {
    const exits = this.exits(task, choice);
    if (pictures === 1) return exits;
    const hint = 'Answer one picture at a time (--batch 1).';
    if (exits.mode === 'reference')
      throw new UsageError(
        'batch-reference',
        "in reference mode the pictures of a batch decide as one, as in the authors' release: answers would depend on the batch",
        {hint},
      );
    const {policy} = exits;
    if (policy.observeEach) return {...exits, policy: new Array<ExitPolicy>(pictures).fill(policy)};
    // One that remembers what it saw: each picture gets its own, if they can be made.
    if (typeof choice === 'object' && 'policy' in choice)
      throw new UsageError('batch-policy', `the policy '${policy.name}' remembers what it saw: it can decide for one picture at a time`, {
        hint,
      });
    return {...exits, policy: Array.from({length: pictures}, () => this.exits(task, choice).policy)};
  }

  #namedPlan(task: TaskName, name: 'model' | 'never' | 'release'): ExitPlan {
    if (name === 'never') return NEVER_PLAN;
    if (name === 'release') return releasePlan(task);
    return this.plans?.plans[task] ?? NEVER_PLAN;
  }

  /** Begin symbol, words, end symbol. @throws InputError if the model has no positions for so many */
  #source(text: string): number[] {
    const {tokenizer} = this;
    const ids = [tokenizer.bos, ...tokenizer.encode(text), tokenizer.eos];
    const {max_source_positions} = this.model.config;
    if (ids.length > max_source_positions) {
      throw new InputError('text-too-long', `the text has ${ids.length} tokens, but the model has positions for ${max_source_positions}`, {
        hint: 'Shorten it.',
      });
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
    const {policy, mode} = this.#deciders(task, exit, items.length);
    const clock = new Clock(items.length);
    const encoded = scope.hold(await this.#encode(items, policy, clock, signal));
    const {scores, runs} = await scoreAnswers(this.model, encoded, policy, {
      prompts: items.map(({source}) => this.#decoderPrompt(source)),
      answers,
      mode,
      signal,
    });
    clock.lap('decode');
    return items.map((_, b) => {
      const hypotheses = answers.map((tokens, i) => ({text: this.#decode(tokens), tokens, score: scores[b]![i]!}));
      // The first of equals wins, as in the release.
      const ranked = [...hypotheses].sort((x, y) => y.score - x.score);
      return {...answerOf(ranked, [encoded.runs[b]!, runs[b]!], clock), scores: scores[b]!};
    });
  }

  /** Writes answers word by word. */
  async #write(items: readonly Item[], task: TaskName, trie: TokenTrie | undefined, options: GenerateOptions): Promise<readonly Answer[]> {
    if (items.length === 0) return [];
    using scope = new TensorScope();
    const {signal, onToken} = options;
    const {policy, mode, skippedKv} = this.#deciders(task, options.exit, items.length);
    const longest = Math.max(...items.map(({prefix}) => prefix.length));
    // The beams of a batch begin at one step: one that is still being forced would be K rows where alone it is one.
    if (items.some(({prefix}) => prefix.length < longest)) return await this.#writeByLength(items, task, trie, options);
    const prefixes = items.map(({prefix}) => prefix);
    const search = this.#search(task, prefixes, trie, options);
    const {beams, maxLength} = search.options;
    if (onToken && (beams > 1 || items.length > 1))
      throw new UsageError(
        'stream-beams',
        'tokens can be streamed of one picture with one beam only: of several, the best is known at the end',
        {
          hint: 'Set num_beams to 1.',
        },
      );
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
        clock,
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
  ): Omit<AnswerSearch, 'source'> {
    const defaults = this.model.config.generation[task === 'snli-ve' ? 'prompt' : task];
    const {length} = prefixes[0]!;
    const settings = this.#settings(defaults, options, length);
    // fairseq would cut the prefix off and answer nothing.
    if (length >= settings.max_new_tokens) {
      throw new InputError('text-too-long', `the question has ${length} tokens; with its answer it may have ${settings.max_new_tokens}`, {
        hint: 'Shorten it, or set max_new_tokens.',
      });
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

  #settings(defaults: GenerationDefaults, options: GenerateOptions, prefix: number): GenerationDefaults & {temperature: number} {
    const pick = <K extends keyof GenerateOptions & keyof GenerationDefaults>(key: K): number => Number(options[key] ?? defaults[key]);
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
    const whole = (name: 'num_beams' | 'max_new_tokens' | 'min_length' | 'no_repeat_ngram_size', least: number): void => {
      if (!Number.isInteger(settings[name]) || settings[name] < least)
        throw new UsageError('option-invalid', `${name} must be a whole number from ${least}, not ${settings[name]}`);
    };
    whole('num_beams', 1);
    whole('max_new_tokens', 1);
    whole('min_length', 0);
    whole('no_repeat_ngram_size', 0);
    if (!Number.isFinite(settings.length_penalty))
      throw new UsageError('option-invalid', `length_penalty must be a number, not ${settings.length_penalty}`);
    if (!(settings.temperature > 0)) throw new UsageError('option-invalid', `temperature must be above 0, not ${settings.temperature}`);
    return settings;
  }

  async #encode(items: readonly Item[], policy: Deciders, clock: Clock, signal: AbortSignal | undefined): Promise<Encoded> {
    using scope = new TensorScope();
    await breathe(signal);
    const each: tf.Tensor4D[] = [];
    for (const {picture} of items) each.push(scope.hold(await this.pixels(picture)));
    const pixels = each.length === 1 ? each[0]! : scope.hold(tf.concat(each));
    clock.lap('preprocess');
    const encoded = await this.model.encode({pixels, prompts: items.map(({source}) => source)}, policy, {signal});
    clock.lap('encode');
    return encoded;
  }

  #stream({step, inputs, candidates, traces}: SearchStep, prefix: number, onToken: (token: StreamedToken) => void): void {
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

/** @param hypotheses best first. @param runs the parts of the answer */
function answerOf(hypotheses: readonly AnswerHypothesis[], runs: readonly PictureRun[], clock: Clock): Answer {
  const best = hypotheses[0] ?? {text: '', tokens: [], score: Number.NEGATIVE_INFINITY};
  const trace = runs.flatMap(({traces}) => traces);
  return {...best, hypotheses, layers: layersRun(trace), macs: addMacs(...runs.map(({macs}) => macs)), ms: clock.read(), trace, notes: []};
}

/** Says so where a text is longer than the words that the task keeps. */
function cut(text: string, maxWords: number): string[] {
  const words = text.trim().split(/\s+/u).length;
  return words > maxWords ? [`the text has ${words} words; the first ${maxWords} are used`] : [];
}
