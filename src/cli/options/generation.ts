import {Option} from '@commander-js/extra-typings';
import {UsageError} from '../../runtime/errors.js';
import type {GenerateOptions, StreamedToken} from '../../tasks/generation-options.js';
import {type OptionsOf, optionGroup} from '../core/define-command.js';
import type {Output} from '../core/output.js';
import {finiteNumber, wholeNumber} from './values.js';

/** How texts are generated; what is not given comes from the model. Hugging Face's names; fairseq's are aliases. */
export const withGeneration = optionGroup((command) =>
  command
    .option('--num-beams <n>', 'width of the beam search; 1 is greedy (also --beam)', wholeNumber(1))
    .option('--max-new-tokens <n>', 'most tokens of an answer (also --max-len-b)', wholeNumber(1))
    .option('--min-length <n>', 'no end before so many tokens (also --min-len)', wholeNumber(0))
    .addOption(noRepeatNgramSize())
    .option('--length-penalty <x>', 'above 1 favours long answers (also --lenpen)', finiteNumber)
    .option('--temperature <x>', 'divides the scores of words', finiteNumber)
    .option('--top-k <n>', 'CoCa: draw words among the likeliest n; 1 is greedy', wholeNumber(1))
    .option('--top-p <x>', 'CoCa: draw words among the likeliest that together are this probable', finiteNumber)
    .option('--repetition-penalty <x>', 'CoCa: above 1 avoids words that are there already', finiteNumber)
    .addOption(
      new Option('--rules <name>', "CoCa: open_clip's rules of the releases or of the development line").choices([
        'classic',
        'current',
      ]),
    )
    .option(
      '--seed <n>',
      'of words drawn with --top-k or --top-p (default: 0); nothing else depends on it',
      wholeNumber(0),
    ),
);
export type GenerationOptions = OptionsOf<typeof withGeneration>;

function noRepeatNgramSize() {
  // Commander takes every --no-… for the opposite of something, and so do its types; this option is none of these.
  const flags = '--no-repeat-ngram-size <n>' as unknown as '--noRepeatNgramSize <n>';
  const option = new Option(flags, 'no group of so many words twice; 0 allows it').argParser(wholeNumber(0));
  option.negate = false;
  return option;
}

/** Generation options that plain data can carry. */
export type PlainGenerateOptions = Omit<GenerateOptions, 'exit' | 'signal' | 'onToken'>;

export function generateOptions(options: GenerationOptions): PlainGenerateOptions {
  return {
    num_beams: options.numBeams,
    max_new_tokens: options.maxNewTokens,
    min_length: options.minLength,
    no_repeat_ngram_size: options.noRepeatNgramSize,
    length_penalty: options.lengthPenalty,
    temperature: options.temperature,
    top_k: options.topK,
    top_p: options.topP,
    repetition_penalty: options.repetitionPenalty,
    rules: options.rules,
    seed: options.seed,
  };
}

/** --stream, for commands that write one text at a time. */
export const withStream = optionGroup((command) =>
  command.option('--stream', 'show words and their depth as they are written (one beam)'),
);
export type StreamOptions = OptionsOf<typeof withStream>;

/** Generation options with --stream: one beam, and a line on stderr for every token, with how deep it went. */
export function streamOptions(options: GenerationOptions & StreamOptions, out: Output): GenerateOptions {
  const generation = generateOptions(options);
  if (!options.stream) return generation;
  if ((generation.num_beams ?? 1) > 1)
    throw new UsageError('stream-beams', '--stream needs one beam: of several, the best is known at the end', {
      hint: 'Use --num-beams 1.',
    });
  return {...generation, num_beams: 1, onToken: (token) => out.say(tokenLine(token))};
}

/** A bar and the exit layer of every stack, then the text so far: `████░░ 4/6  two big cupcakes`. */
function tokenLine({text, traces}: StreamedToken): string {
  const depths = traces.map(
    ({exitLayer, depth}) => `${'█'.repeat(exitLayer)}${'░'.repeat(depth - exitLayer)} ${exitLayer}/${depth}`,
  );
  return `  ${depths.join(' ')}  ${text}`;
}
