import {answerPictures} from './answer-pictures.js';
import type {CommandContext} from '../core/define-command.js';
import type {EntailFlags} from './entail.js';

export async function runEntail(
  [image, hypothesis]: readonly [string, string],
  flags: EntailFlags,
  context: CommandContext,
): Promise<number> {
  return await answerPictures([image], 'snli-ve', flags, context, (mue, picture, options) =>
    mue.entail(picture, hypothesis, {...options, premise: flags.premise}),
  );
}
