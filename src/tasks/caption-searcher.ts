import {UsageError} from '../runtime/errors.js';
import type {Assistant} from './assistant.js';

/** An assistant whose captions are found by `beamSearch`, so that callers can run many exits on one picture and share its encodings. */
export type CaptionSearcher = Pick<Assistant, 'model' | 'sha256'> & {
  readonly captionSearch: NonNullable<Assistant['captionSearch']>;
};

/** @throws UsageError `task-unsupported` for a model that writes by other rules */
export function captionSearcher(assistant: Assistant): CaptionSearcher {
  const {model, sha256} = assistant;
  if (!assistant.captionSearch)
    throw new UsageError(
      'task-unsupported',
      'captions of this model are written by rules of its own: their exits are not recorded or swept',
      {
        hint: '`mue evaluate` runs a plan on every model.',
      },
    );
  return {model, sha256, captionSearch: (options) => assistant.captionSearch!(options)};
}
