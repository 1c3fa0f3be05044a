import {UsageError} from '../runtime/errors.js';
import type {GenerateOptions, StreamedToken} from '../tasks/assistant.js';
import {generateOptions, type GenerationFlags} from './generation-options.js';
import type {Output} from './core/output.js';

/** Generation options with --stream: one beam, and a line on stderr for every token, with how deep it went. */
export function streamOptions(flags: GenerationFlags & {readonly stream?: boolean}, out: Output): GenerateOptions {
  const options = generateOptions(flags);
  if (!flags.stream) return options;
  if ((options.num_beams ?? 1) > 1)
    throw new UsageError('stream-beams', '--stream needs one beam: of several, the best is known at the end', {hint: 'Use --num-beams 1.'});
  return {...options, num_beams: 1, onToken: (token) => out.say(tokenLine(token))};
}

/** Such as `████░░ 4/6  two big cupcakes`. */
function tokenLine({text, traces}: StreamedToken): string {
  const depths = traces.map(({exitLayer, depth}) => `${'█'.repeat(exitLayer)}${'░'.repeat(depth - exitLayer)} ${exitLayer}/${depth}`);
  return `  ${depths.join(' ')}  ${text}`;
}
