import fs from 'node:fs';
import {UsageError} from '../runtime/errors.js';
import {answerPictures} from './answer-pictures.js';
import type {AskFlags} from './ask.js';
import type {CommandContext} from './command.js';
import {streamOptions} from './stream-tokens.js';

export async function runAsk([image, question]: readonly [string, string], flags: AskFlags, context: CommandContext): Promise<number> {
  const {method} = flags;
  const answers = flags.answers === undefined ? undefined : readAnswers(flags.answers);
  if (method && !answers) throw new UsageError('method-without-answers', `--method ${method} needs --answers <file>`);
  const generation = streamOptions(flags, context.out);
  return await answerPictures([image], 'vqa', flags, context, (mue, picture, options) =>
    mue.ask(picture, question, {...generation, ...options, answers, method}),
  );
}

/** One answer a line; empty lines count for nothing. */
function readAnswers(file: string): string[] {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError('answers-unreadable', `--answers ${file}: ${(cause as Error).message}`, {cause});
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  if (lines.length === 0) throw new UsageError('answers-empty', `--answers ${file}: there is no answer in it`);
  return lines;
}
