import type {WritingOptions, WritingRules} from '../generation/step.js';
import {InputError, UsageError} from '../runtime/errors.js';
import type {GenerateOptions} from './assistant.js';

/** How captions are written where a call does not say: names and values of open_clip's `generate` (coca.md section 7). */
export interface WritingDefaults {
  readonly rules: WritingRules;
  /** Most tokens, and fewest, begin and end counted. */
  readonly seq_len: number;
  readonly min_seq_len: number;
  readonly num_beams: number;
  readonly num_beam_groups: number;
  readonly repetition_penalty: number;
  readonly temperature: number;
}

/** What a text may be: the model's limits. */
export interface WritingLimits {
  /** Tokens that are given, begin symbol included. */
  readonly prompt: number;
  readonly contextLength: number;
  readonly vocabularySize: number;
}

export interface WritingSettings
  extends Pick<WritingOptions, 'rules' | 'maxLength' | 'minLength' | 'repetitionPenalty'> {
  /** Undefined: words are drawn one by one (`topK` 1: the likeliest). */
  readonly beams: number | undefined;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly temperature: number;
}

/**
 * Options and defaults as one: beams unless words are to be drawn, and one beam is greedy.
 * @throws UsageError for options that make no sense or that these rules do not have; InputError if the prompt leaves no room
 */
export function writingSettings(
  defaults: WritingDefaults,
  options: GenerateOptions,
  {prompt, contextLength, vocabularySize}: WritingLimits,
): WritingSettings {
  const {top_k: topK, top_p: topP, rules = defaults.rules, temperature = defaults.temperature} = options;
  const penalty = options.repetition_penalty ?? defaults.repetition_penalty;
  for (const [name, neutral] of [
    ['no_repeat_ngram_size', 0],
    ['length_penalty', 1],
  ] as const)
    if (options[name] !== undefined && options[name] !== neutral)
      throw new UsageError('option-unsupported', `${name}: this model's rules for writing have none`);
  const drawn = topK !== undefined || topP !== undefined;
  if (drawn && (options.num_beams ?? 1) > 1)
    throw new UsageError(
      'option-conflict',
      'top_k and top_p draw words one by one, num_beams searches: give one or the other',
    );
  if (rules === 'classic' && topK !== undefined && topP !== undefined)
    throw new UsageError('option-conflict', 'the classic rules take top_k or top_p, not both', {
      hint: "Say rules 'current'.",
    });
  whole('num_beams', options.num_beams, 1);
  whole('max_new_tokens', options.max_new_tokens, 1);
  whole('min_length', options.min_length, 0);
  whole('top_k', topK, 1);
  if (topP !== undefined && !(topP > 0 && topP <= 1))
    throw new UsageError('option-invalid', `top_p must be above 0 and at most 1, not ${topP}`);
  above('temperature', temperature);
  above('repetition_penalty', penalty);
  // Groups have no diversity term: G groups of K beams in all find what K / G find. Current rules have no groups.
  const beams =
    options.num_beams ?? (rules === 'classic' ? defaults.num_beams / defaults.num_beam_groups : defaults.num_beams);
  if (beams * 2 > vocabularySize)
    throw new UsageError('option-invalid', `num_beams must be at most ${Math.floor(vocabularySize / 2)}, not ${beams}`);
  if (prompt + 1 > contextLength)
    throw new InputError(
      'text-too-long',
      `the prompt has ${prompt} tokens; with what is written the model may have ${contextLength}`,
      {
        hint: 'Shorten it.',
      },
    );
  const {max_new_tokens: most, min_length: least} = options;
  const greedy = !drawn && beams === 1;
  return {
    rules,
    // An end symbol follows the words.
    maxLength: Math.min(most === undefined ? Math.max(defaults.seq_len, prompt + 1) : prompt + most + 1, contextLength),
    minLength: least === undefined ? defaults.min_seq_len : prompt + least,
    repetitionPenalty: penalty,
    beams: drawn || greedy ? undefined : beams,
    topK: greedy ? 1 : topK,
    topP,
    temperature,
  };
}

function whole(name: string, value: number | undefined, least: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= least)) return;
  throw new UsageError('option-invalid', `${name} must be a whole number from ${least}, not ${value}`);
}

function above(name: string, value: number): void {
  if (!(value > 0 && value < Number.POSITIVE_INFINITY))
    throw new UsageError('option-invalid', `${name} must be above 0, not ${value}`);
}
