import * as tf from '@tensorflow/tfjs';
import {type RgbImage, resizeBicubic, toPixels} from '../data/image.js';
import {captionTarget, removePunctuation} from '../data/text-cleaning.js';
import {Tokenizer} from '../data/tokenizer.js';
import {
  fairseqBeamSearch,
  forbiddenBy,
  type Hypothesis,
  type SearchOptions,
  type SearchStep,
} from '../generation/fairseq-beam-search.js';
import {TokenTrie} from '../generation/token-trie.js';
import type {OfaConfig} from '../models/ofa/config.js';
import type {OfaModel} from '../models/ofa/model.js';
import {checkArguments, fields, instanceOf, OBJECT} from '../runtime/check-arguments.js';
import {InputError, UsageError} from '../runtime/errors.js';
import {finishByTurns} from '../runtime/steps.js';
import type {AnswerHypothesis} from './answer.js';
import type {TaskName} from './exits.js';
import {checkWhole, type GenerateOptions, type StreamedToken} from './generation-options.js';
import {type PipelineParts, VisionLanguagePipeline} from './pipeline.js';
import type {AllowedAnswer, AllowedAnswers, AnswerWriter, EntailmentTokens, Processor, Prompt} from './processor.js';
import {CAPTION_PROMPT, ENTAILMENT_ANSWERS, entailmentPrompt, questionPrompt} from './prompts.js';

/** OFA with everything around it. */
export class OfaPipeline extends VisionLanguagePipeline<OfaModel, OfaProcessor> {
  /** Takes ownership of the model. */
  constructor(parts: PipelineParts<OfaModel> & {readonly tokenizer: Tokenizer}) {
    checkArguments('new OfaPipeline', {
      parts: [parts, fields({model: fields({config: OBJECT}), tokenizer: instanceOf('a Tokenizer', Tokenizer)})],
    });
    const {tokenizer, ...others} = parts;
    super(others, new OfaProcessor(parts.model.config, tokenizer));
  }
}

/** OFA's prompts, pixels and search, as its authors' scripts have them (docs/reference/ofa-mue.md 8). */
export class OfaProcessor implements Processor {
  constructor(
    private readonly config: OfaConfig,
    readonly tokenizer: Tokenizer,
  ) {}

  get readsPremise(): boolean {
    return this.config.add_caption;
  }

  async pixels(image: RgbImage, signal?: AbortSignal): Promise<tf.Tensor4D> {
    const {patch_image_size: size, image_mean, image_std} = this.config;
    const resized = await finishByTurns(resizeBicubic(image, size, size), signal);
    return tf.tensor4d(toPixels(resized, image_mean, image_std), [1, size, size, 3]);
  }

  captionPrompt(): Prompt {
    return this.#openPrompt(CAPTION_PROMPT);
  }

  freePrompt(text: string): Prompt {
    this.#check(text, 'prompt');
    return this.#openPrompt(text.startsWith(' ') ? text : ` ${text}`);
  }

  questionPrompt(question: string, objects?: readonly string[]): Prompt {
    const {max_src_length} = this.config;
    this.#check(question, 'question');
    return this.#closedPrompt(questionPrompt(question, max_src_length, objects), question);
  }

  entailmentPrompt(hypothesis: string, premise?: string): Prompt & Pick<EntailmentTokens, 'answers'> {
    const {max_src_length} = this.config;
    this.#check(hypothesis, 'hypothesis');
    const prompt = this.#closedPrompt(entailmentPrompt(hypothesis, premise, max_src_length), hypothesis);
    return {...prompt, answers: ENTAILMENT_ANSWERS.map((word) => this.tokenizer.encode(` ${word}`))};
  }

  allowedAnswers(answers: readonly string[]): AllowedAnswers {
    const entries = [...new Set(answers)].filter((answer) => answer.trim() !== '');
    if (entries.length === 0) throw new UsageError('answers-empty', 'the list of allowed answers is empty');
    const byTokens = new Map<string, AllowedAnswer>();
    const unknown: string[] = [];
    for (const text of entries) {
      const tokens = this.tokenizer.encode(` ${text.trim()}`);
      const same = byTokens.get(tokens.join());
      if (same)
        throw new UsageError(
          'answers-same',
          `the allowed answers '${same.text}' and '${text}' are the same to this model`,
          {hint: 'Leave one of them out: the model could never tell which is meant.'},
        );
      byTokens.set(tokens.join(), {text, tokens});
      if (tokens.includes(this.tokenizer.unk)) unknown.push(text);
    }
    const some = unknown.slice(0, 5).map((text) => `'${text}'`);
    const more = unknown.length > some.length ? ` and ${unknown.length - some.length} more` : '';
    const note = `the vocabulary does not know all parts of the allowed answers ${some.join(', ')}${more}`;
    return {answers: [...byTokens.values()], notes: unknown.length > 0 ? [note] : []};
  }

  captionTokens(text: string): readonly number[] {
    const {eos} = this.tokenizer;
    return [...this.tokenizer.encode(` ${captionTarget(text)}`), eos];
  }

  /** Captions lose their punctuation, as in the release; every text its leading space. */
  decode(tokens: readonly number[], task: TaskName): string {
    const text = this.tokenizer.decode(tokens);
    return (task === 'caption' ? removePunctuation(text) : text).trim();
  }

  writer(
    task: TaskName,
    prompts: readonly Prompt[],
    options: GenerateOptions,
    answers?: readonly AllowedAnswer[],
  ): AnswerWriter {
    const {onToken} = options;
    const prefixes = prompts.map(({target}) => target.slice(1));
    const {length} = prefixes[0]!;
    const settings = this.#searchOptions(task, prefixes, options);
    const {eos} = this.tokenizer;
    const trie =
      answers &&
      new TokenTrie(
        answers.map(({tokens}) => tokens),
        eos,
      );
    const entries = new Map(answers?.map(({text, tokens}) => [tokens.join(), text]));
    const onStep = onToken && ((step: SearchStep) => this.#stream(step, length, onToken));
    const read = ({tokens, score}: Hypothesis): AnswerHypothesis => {
      const words = tokens.slice(length, -1);
      return {text: entries.get(words.join()) ?? this.decode(words, task), tokens: words, score};
    };
    return {
      source: prompts[0]!.source,
      prompt: prompts[0]!.target,
      rows: settings.beams,
      maxSteps: settings.maxLength,
      settings: {...settings},
      forbiddenBy: (written, token) => forbiddenBy([...prompts[0]!.target, ...written], token, settings),
      write: async (decoding, images, policy, {signal, includeDeadBeams} = {}) => {
        const ofImages = prefixes.length === 1 ? new Array<readonly number[]>(images).fill(prefixes[0]!) : prefixes;
        const {hypotheses, traces} = await fairseqBeamSearch(decoding, images, policy, {
          ...settings,
          trie,
          prefixes: ofImages,
          includeDeadBeams,
          onStep,
          signal,
        });
        return hypotheses.map((found, b) => ({
          hypotheses: found.map(read),
          tokens: found[0]?.tokens.slice(length) ?? [],
          traces: traces[b]!,
        }));
      },
    };
  }

  /** A request whose answer may be any words. */
  #openPrompt(text: string): Prompt {
    const source = this.#source(text);
    return {source, target: source.slice(0, 1), notes: []};
  }

  /** A request of a closed task: the decoder is fed the question, too, as the model was trained. */
  #closedPrompt(text: string, words: string): Prompt {
    const source = this.#source(text);
    const {prompt_type, max_src_length} = this.config;
    const target = prompt_type === 'none' ? source.slice(0, 1) : prompt_type === 'src' ? source : source.slice(0, -1);
    return {source, target, notes: truncationNote(words, max_src_length)};
  }

  /** Begin symbol, words, end symbol. @throws InputError if the model has no positions for so many */
  #source(text: string): number[] {
    const {bos, eos} = this.tokenizer;
    const ids = [bos, ...this.tokenizer.encode(text), eos];
    const {max_source_positions} = this.config;
    if (ids.length > max_source_positions) {
      throw new InputError(
        'text-too-long',
        `the text has ${ids.length} tokens, but the model has positions for ${max_source_positions}`,
        {hint: 'Shorten it.'},
      );
    }
    return ids;
  }

  /** @throws InputError for an empty text, or one that is too long before any cleaning, which would cut it silently */
  #check(text: string, what: string): void {
    if (text.trim() === '') throw new InputError('text-empty', `the ${what} is empty`);
    this.#source(` ${text}`);
  }

  /** The search of a task: options over the configuration's defaults. */
  #searchOptions(task: TaskName, prefixes: readonly (readonly number[])[], options: GenerateOptions): SearchOptions {
    for (const name of ['top_k', 'top_p', 'repetition_penalty', 'rules'] as const)
      if (options[name] !== undefined)
        throw new UsageError('option-unsupported', `${name}: this model searches with beams and does not draw words`);
    const defaults = this.config.generation[task === 'caption' || task === 'vqa' ? task : 'prompt'];
    const {max_target_positions, vocab_size} = this.config;
    const {length} = prefixes[0]!;
    const beams = Math.min(options.num_beams ?? defaults.num_beams, vocab_size - 1);
    // fairseq counts the forced prefix: a limit of 200 for questions is one of the whole target.
    const most = options.max_new_tokens === undefined ? defaults.max_new_tokens : options.max_new_tokens + length;
    const maxLength = Math.min(most, max_target_positions - 1);
    const minLength = options.min_length ?? defaults.min_length;
    const noRepeatNgram = options.no_repeat_ngram_size ?? defaults.no_repeat_ngram_size;
    const lengthPenalty = options.length_penalty ?? defaults.length_penalty;
    const temperature = options.temperature ?? 1;
    checkWhole('num_beams', beams, 1);
    checkWhole('max_new_tokens', maxLength, 1);
    checkWhole('min_length', minLength, 0);
    checkWhole('no_repeat_ngram_size', noRepeatNgram, 0);
    if (!Number.isFinite(lengthPenalty))
      throw new UsageError('option-invalid', `length_penalty must be a number, not ${lengthPenalty}`);
    if (!(temperature > 0)) throw new UsageError('option-invalid', `temperature must be above 0, not ${temperature}`);
    // fairseq would cut the prefix off and answer nothing.
    if (length >= maxLength) {
      throw new InputError(
        'text-too-long',
        `the question has ${length} tokens; with its answer it may have ${maxLength}`,
        {hint: 'Shorten it, or set max_new_tokens.'},
      );
    }
    const normalize = defaults.normalize_scores;
    return {beams, maxLength, minLength, noRepeatNgram, lengthPenalty, normalize, temperature, prefixes};
  }

  #stream(
    {step, inputs, candidates, traces}: SearchStep,
    prefix: number,
    onToken: (token: StreamedToken) => void,
  ): void {
    const {token} = candidates[0]![0]!;
    if (step < prefix || token === this.tokenizer.eos) return;
    const text = this.tokenizer.decode([...inputs[0]!.slice(1 + prefix), token]).trim();
    onToken({step, token, text, traces});
  }
}

/** A note where a text is longer than the words that the task keeps. */
function truncationNote(text: string, maxWords: number): string[] {
  const words = text.trim().split(/\s+/u).length;
  return words > maxWords ? [`the text has ${words} words; the first ${maxWords} are used`] : [];
}
