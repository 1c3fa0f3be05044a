import {UsageError} from '../runtime/errors.js';
import type {GenerateOptions} from './assistant.js';

/** @throws UsageError `stream-beams` if tokens are to be streamed that may not be the answer's */
export function checkStreaming({onToken}: GenerateOptions, beams: number, pictures: number): void {
  if (onToken && (beams > 1 || pictures > 1))
    throw new UsageError(
      'stream-beams',
      'tokens can be streamed of one picture with one beam only: of several, the best is known at the end',
      {hint: 'Set num_beams to 1.'},
    );
}
