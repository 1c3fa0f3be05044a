import {answerPictures} from './answer-pictures.js';
import type {CaptionFlags} from './caption.js';
import type {CommandContext} from '../core/define-command.js';
import {streamOptions} from '../options/generation.js';

export async function runPrompt(
  [image, text]: readonly [string, string],
  flags: CaptionFlags,
  context: CommandContext,
): Promise<number> {
  const generation = streamOptions(flags, context.out);
  return await answerPictures([image], 'prompt', flags, context, (mue, picture, options) =>
    mue.prompt(picture, text, {...generation, ...options}),
  );
}
