import * as tf from '@tensorflow/tfjs';
import {centreSquare} from '../data/centre-square.js';
import {ClipTokenizer} from '../data/clip-tokenizer.js';
import {type RgbImage, toPixels} from '../data/image.js';
import {openClipBeamSearch} from '../generation/open-clip-beam-search.js';
import {sample} from '../generation/sampling.js';
import type {DecodingOptions, DecodingStep, GeneratedText} from '../generation/step.js';
import type {CocaConfig} from '../models/coca/config.js';
import type {CocaModel} from '../models/coca/model.js';
import {checkArguments, fields, instanceOf, OBJECT} from '../runtime/check-arguments.js';
import {InputError, UsageError} from '../runtime/errors.js';
import {finishByTurns} from '../runtime/steps.js';
import {seededRandom} from '../runtime/random.js';
import type {AnswerHypothesis} from './answer.js';
import type {TaskName} from './exits.js';
import {checkWhole, type GenerateOptions, type StreamedToken} from './generation-options.js';
import type {PipelineParts} from './pipeline.js';
import {EmbeddingPipeline} from './embedding-pipeline.js';
import type {AnswerWriter, EntailmentTokens, Processor, Prompt} from './processor.js';
import {ENTAILMENT_ANSWERS} from './prompts.js';

/** How captions are generated, options over the configuration's defaults, in the order in which files keep it. */
interface CaptionSettings extends Pick<DecodingOptions, 'rules' | 'maxLength' | 'minLength' | 'repetitionPenalty'> {
  /** Undefined: tokens are sampled one by one (`topK` 1: the likeliest). */
  readonly beams: number | undefined;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly temperature: number;
}

/** CoCa with everything around it: captions, embeddings, and entailment by scoring captions. It takes no questions. */
export class CocaPipeline extends EmbeddingPipeline {
  /** Takes ownership of the model. */
  constructor(parts: PipelineParts<CocaModel> & {readonly tokenizer: ClipTokenizer}) {
    checkArguments('new CocaPipeline', {
      parts: [
        parts,
        fields({model: fields({config: OBJECT}), tokenizer: instanceOf('a ClipTokenizer', ClipTokenizer)}),
      ],
    });
    const {tokenizer, ...others} = parts;
    super(others, new CocaProcessor(parts.model.config, tokenizer), tokenizer);
  }
}

/** CoCa's texts, pixels and generation, as open_clip has them (docs/reference/coca.md 4, 5, 7). */
export class CocaProcessor implements Processor {
  readonly readsPremise = false;

  constructor(
    private readonly config: CocaConfig,
    readonly tokenizer: ClipTokenizer,
  ) {}

  async pixels(image: RgbImage, signal?: AbortSignal): Promise<tf.Tensor4D> {
    const {image_mean, image_std, vision} = this.config;
    const size = vision.image_size;
    const square = await finishByTurns(centreSquare(image, size), signal);
    return tf.tensor4d(toPixels(square, image_mean, image_std), [1, size, size, 3]);
  }

  captionPrompt(): Prompt {
    return {source: [], target: [this.tokenizer.bos], notes: []};
  }

  /** The beginning of a caption. */
  freePrompt(text: string): Prompt {
    return {source: [], target: [this.tokenizer.bos, ...this.#tokens(text, 'prompt')], notes: []};
  }

  questionPrompt(): never {
    throw unsupported('questions: it writes captions');
  }

  /** The captions "hypothesis? no", "… yes" and "… maybe": models are to be fine-tuned on such captions. */
  entailmentPrompt(hypothesis: string, premise?: string): Prompt & Pick<EntailmentTokens, 'answers'> {
    if (premise !== undefined) throw unsupported('a text premise: it looks at the picture alone');
    const words = this.#tokens(hypothesis, 'hypothesis');
    const [mark] = this.tokenizer.encode('?');
    const question = this.tokenizer.encode(`${hypothesis}?`);
    // Begin symbol, answer and end are to fit, too.
    const room = this.config.text.context_length - 3;
    const fits = question.length <= room;
    const target = fits ? question : [...words.slice(0, room - 1), mark!];
    const note = `the hypothesis is longer than the model's context; its first ${target.length - 1} tokens are used`;
    return {
      source: [],
      target: [this.tokenizer.bos, ...target],
      notes: fits ? [] : [note],
      answers: ENTAILMENT_ANSWERS.map((word) => this.tokenizer.encode(word)),
    };
  }

  allowedAnswers(): never {
    throw unsupported('questions: it writes captions');
  }

  captionTokens(text: string): readonly number[] {
    return [...this.tokenizer.encode(text), this.tokenizer.eos];
  }

  decode(tokens: readonly number[]): string {
    return this.tokenizer.decode(tokens).trim();
  }

  writer(_task: TaskName, [prompt]: readonly Prompt[], options: GenerateOptions): AnswerWriter {
    const {target} = prompt!;
    const {onToken, seed = 0} = options;
    const settings = this.#settings(target.length, options);
    const {beams, maxLength} = settings;
    const onStep = onToken && ((step: DecodingStep) => this.#stream(step, target.length, onToken));
    return {
      source: [],
      prompt: target,
      rows: beams ?? 1,
      maxSteps: maxLength,
      settings: {...settings, seed},
      forbiddenBy: (written, token) =>
        token === this.tokenizer.eos && target.length + written.length < settings.minLength ? 'min_length' : undefined,
      write: async (decoding, images, policy, {signal} = {}) => {
        const rules: DecodingOptions = {...settings, prompt: target, end: this.tokenizer.eos, signal, onStep};
        const {texts, traces} =
          beams === undefined
            ? await asLists(sample(decoding, images, policy, {...settings, ...rules, random: () => seededRandom(seed)}))
            : await openClipBeamSearch(decoding, images, policy, {...rules, beams});
        return texts.map((found, b) => ({
          hypotheses: found.map((text) => this.#hypothesis(text, target.length)),
          tokens: found[0]!.tokens.slice(target.length),
          traces: traces[b]!,
        }));
      },
    };
  }

  #hypothesis({tokens, score}: GeneratedText, prompt: number): AnswerHypothesis {
    const words = tokens.slice(prompt, tokens.at(-1) === this.tokenizer.eos ? -1 : undefined);
    return {text: this.decode(words), tokens: words, score};
  }

  #stream({step, inputs, tokens, traces}: DecodingStep, prompt: number, onToken: (token: StreamedToken) => void): void {
    const [token] = tokens as [number];
    if (token === this.tokenizer.eos) return;
    onToken({step, token, text: this.decode([...inputs[0]!.slice(prompt), token]), traces});
  }

  /** @throws InputError for a text without tokens */
  #tokens(text: string, what: string): readonly number[] {
    const tokens = this.tokenizer.encode(text);
    if (tokens.length === 0) throw new InputError('text-empty', `the ${what} is empty`);
    return tokens;
  }

  /**
   * Options over defaults: beams unless tokens are to be sampled, and one beam is greedy.
   * @param prompt   tokens that are given, begin symbol included
   * @throws         UsageError for options that make no sense or that the rules do not have; InputError if the prompt
   *                 leaves no room
   */
  #settings(prompt: number, options: GenerateOptions): CaptionSettings {
    const {generation: defaults, text} = this.config;
    const {top_k: topK, top_p: topP, rules = defaults.rules, temperature = defaults.temperature} = options;
    const penalty = options.repetition_penalty ?? defaults.repetition_penalty;
    for (const [name, neutral] of [
      ['no_repeat_ngram_size', 0],
      ['length_penalty', 1],
    ] as const)
      if (options[name] !== undefined && options[name] !== neutral)
        throw new UsageError('option-unsupported', `${name}: this model's rules for writing have none`);
    const sampled = topK !== undefined || topP !== undefined;
    if (sampled && (options.num_beams ?? 1) > 1)
      throw new UsageError(
        'option-conflict',
        'top_k and top_p draw words one by one, num_beams searches: give one or the other',
      );
    if (rules === 'classic' && topK !== undefined && topP !== undefined)
      throw new UsageError('option-conflict', 'the classic rules take top_k or top_p, not both', {
        hint: "Say rules 'current'.",
      });
    checkWhole('num_beams', options.num_beams, 1);
    checkWhole('max_new_tokens', options.max_new_tokens, 1);
    checkWhole('min_length', options.min_length, 0);
    checkWhole('top_k', topK, 1);
    if (topP !== undefined && !(topP > 0 && topP <= 1))
      throw new UsageError('option-invalid', `top_p must be above 0 and at most 1, not ${topP}`);
    checkPositive('temperature', temperature);
    checkPositive('repetition_penalty', penalty);
    // Groups have no diversity term: G groups of K beams in all find what K / G find. Current rules have no groups.
    const grouped = rules === 'classic' ? defaults.num_beams / defaults.num_beam_groups : defaults.num_beams;
    const beams = options.num_beams ?? grouped;
    if (beams * 2 > text.vocab_size)
      throw new UsageError(
        'option-invalid',
        `num_beams must be at most ${Math.floor(text.vocab_size / 2)}, not ${beams}`,
      );
    if (prompt + 1 > text.context_length)
      throw new InputError(
        'text-too-long',
        `the prompt has ${prompt} tokens; with what is written the model may have ${text.context_length}`,
        {hint: 'Shorten it.'},
      );
    const {max_new_tokens: most, min_length: least} = options;
    const greedy = !sampled && beams === 1;
    // An end symbol follows the words.
    const longest = most === undefined ? Math.max(defaults.seq_len, prompt + 1) : prompt + most + 1;
    return {
      rules,
      maxLength: Math.min(longest, text.context_length),
      minLength: least === undefined ? defaults.min_seq_len : prompt + least,
      repetitionPenalty: penalty,
      beams: sampled || greedy ? undefined : beams,
      topK: greedy ? 1 : topK,
      topP,
      temperature,
    };
  }
}

/** Sampled texts, in lists as a search gives them. */
async function asLists(sampled: ReturnType<typeof sample>): ReturnType<typeof openClipBeamSearch> {
  const {texts, traces} = await sampled;
  return {texts: texts.map((text) => [text]), traces};
}

function unsupported(what: string): UsageError {
  return new UsageError('task-unsupported', `this model does not take ${what}`);
}

function checkPositive(name: string, value: number): void {
  if (!(value > 0 && value < Number.POSITIVE_INFINITY))
    throw new UsageError('option-invalid', `${name} must be above 0, not ${value}`);
}
