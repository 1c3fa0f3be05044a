import {UsageError} from '../../runtime/errors.js';
import {answerPictures} from './answer-pictures.js';
import type {AskFlags} from './ask.js';
import type {CommandContext} from '../core/define-command.js';
import {readAnswers} from '../core/read-answers.js';
import {streamOptions} from '../options/generation.js';

export async function runAsk(
  [image, question]: readonly [string, string],
  flags: AskFlags,
  context: CommandContext,
): Promise<number> {
  const {method} = flags;
  const answers = flags.answers === undefined ? undefined : readAnswers(flags.answers);
  if (method && !answers) throw new UsageError('method-without-answers', `--method ${method} needs --answers <file>`);
  const generation = streamOptions(flags, context.out);
  return await answerPictures([image], 'vqa', flags, context, (mue, picture, options) =>
    mue.ask(picture, question, {...generation, ...options, answers, method}),
  );
}
