import {type Command, Option} from 'commander';
import {DECODING_RULES, type DecodingRules} from '../../generation/step.js';
import {UsageError} from '../../runtime/errors.js';
import type {GenerateOptions, StreamedToken} from '../../tasks/generation-options.js';
import type {Output} from '../core/output.js';
import {finiteNumber, wholeNumber} from './values.js';

/** Generation options with --stream: one beam, and a line on stderr for every token, with how deep it went. */
export function streamOptions(flags: GenerationFlags & {readonly stream?: boolean}, out: Output): GenerateOptions {
  const options = generateOptions(flags);
  if (!flags.stream) return options;
  if ((options.num_beams ?? 1) > 1)
    throw new UsageError('stream-beams', '--stream needs one beam: of several, the best is known at the end', {
      hint: 'Use --num-beams 1.',
    });
  return {...options, num_beams: 1, onToken: (token) => out.say(tokenLine(token))};
}

/** Such as `████░░ 4/6  two big cupcakes`. */
function tokenLine({text, traces}: StreamedToken): string {
  const depths = traces.map(
    ({exitLayer, depth}) => `${'█'.repeat(exitLayer)}${'░'.repeat(depth - exitLayer)} ${exitLayer}/${depth}`,
  );
  return `  ${depths.join(' ')}  ${text}`;
}

/** How words are searched for; what is not given comes from the model. */
export interface GenerationFlags {
  readonly numBeams?: number;
  readonly maxNewTokens?: number;
  readonly minLength?: number;
  readonly noRepeatNgramSize?: number;
  readonly lengthPenalty?: number;
  readonly temperature?: number;
  readonly seed?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly repetitionPenalty?: number;
  readonly rules?: DecodingRules;
}

/** Hugging Face's names; fairseq's are aliases (see option-aliases). */
export function addGenerationOptions(command: Command): Command {
  const noRepeat = new Option('--no-repeat-ngram-size <n>', 'no group of so many words twice; 0 allows it').argParser(
    wholeNumber(0),
  );
  // Commander takes every --no-… for the opposite of something.
  noRepeat.negate = false;
  return command
    .option('--num-beams <n>', 'width of the beam search; 1 is greedy (also --beam)', wholeNumber(1))
    .option('--max-new-tokens <n>', 'most tokens of an answer (also --max-len-b)', wholeNumber(1))
    .option('--min-length <n>', 'no end before so many tokens (also --min-len)', wholeNumber(0))
    .addOption(noRepeat)
    .option('--length-penalty <x>', 'above 1 favours long answers (also --lenpen)', finiteNumber)
    .option('--temperature <x>', 'divides the scores of words', finiteNumber)
    .option('--top-k <n>', 'CoCa: draw words among the likeliest n; 1 is greedy', wholeNumber(1))
    .option('--top-p <x>', 'CoCa: draw words among the likeliest that together are this probable', finiteNumber)
    .option('--repetition-penalty <x>', 'CoCa: above 1 avoids words that are there already', finiteNumber)
    .addOption(
      new Option('--rules <name>', "CoCa: open_clip's rules of the releases or of the development line").choices(
        DECODING_RULES,
      ),
    )
    .option(
      '--seed <n>',
      'of words drawn with --top-k or --top-p (default: 0); nothing else depends on it',
      wholeNumber(0),
    );
}

export function generateOptions(flags: GenerationFlags): GenerateOptions {
  return {
    num_beams: flags.numBeams,
    max_new_tokens: flags.maxNewTokens,
    min_length: flags.minLength,
    no_repeat_ngram_size: flags.noRepeatNgramSize,
    length_penalty: flags.lengthPenalty,
    temperature: flags.temperature,
    top_k: flags.topK,
    top_p: flags.topP,
    repetition_penalty: flags.repetitionPenalty,
    rules: flags.rules,
    seed: flags.seed,
  };
}
