import path from 'node:path';
import {recordingPolicy} from '../../exit/recording.js';
import {cannotWrite, writeAtomic} from '../../node/runs/write-atomic.js';
import {UsageError} from '../../runtime/errors.js';
import type {Answer} from '../../tasks/answer.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {CustomExit, TaskName} from '../../tasks/exits.js';
import {ENTAILMENT_ANSWERS} from '../../tasks/prompts.js';
import type {CommandContext} from '../core/define-command.js';
import {exitChoice} from '../options/exit.js';
import type {ExplainFlags} from './explain.js';
import {explainPage} from './explain-page.js';
import {explainText} from './explain-text.js';
import {explanation} from './explanation.js';
import {loadFrom} from '../options/model.js';
import {readPicture} from '../core/read-picture.js';

const TASKS: Readonly<Record<ExplainFlags['task'], TaskName>> = {caption: 'caption', entail: 'snli-ve', ask: 'vqa'};

/** Answers once at full depth and greedily, with the plan looking on. */
export async function runExplain(
  [image, text]: readonly [string, string | undefined],
  flags: ExplainFlags,
  {out, signal}: CommandContext,
): Promise<undefined> {
  if (flags.task === 'caption' && text !== undefined)
    throw new UsageError('text-unused', `a caption takes no text, but got '${text}'`, {
      hint: 'Say --task entail or --task ask.',
    });
  if (flags.task !== 'caption' && text === undefined)
    throw new UsageError(
      'text-missing',
      `--task ${flags.task} needs a ${flags.task === 'ask' ? 'question' : 'hypothesis'} after the picture`,
    );
  const task = TASKS[flags.task];
  // Bad plans and missing pictures are found before the model is loaded.
  exitChoice(flags, task);
  const bytes = await readPicture(image);
  const {mue} = await loadFrom(flags, out);
  using model = mue;
  const {policy, ...surroundings} = model.resolveExits(task, exitChoice(flags, task, model.plans));
  const recording = recordingPolicy(policy);
  const answer = await answerOnce(model, flags, bytes, text, {...surroundings, policy: recording.policy}, signal);
  for (const note of answer.notes) out.say(`warning: ${note}`);
  const explained = explanation({
    image: image === '-' ? 'stdin' : path.basename(image),
    task: flags.task,
    question: text,
    policy: policy.name,
    answer,
    passes: recording.passes,
    tokenizer: model.tokenizer,
    ...(flags.task === 'entail' ? {choices: ENTAILMENT_ANSWERS} : {}),
  });
  if (flags.html !== undefined) {
    try {
      writeAtomic(flags.html, explainPage(explained, bytes));
    } catch (error) {
      throw cannotWrite(flags.html, error);
    }
    out.say(`wrote ${flags.html}`);
  }
  const colour = process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === '';
  out.data(flags.json ? JSON.stringify(explained, null, 2) : explainText(explained, {colour}));
}

async function answerOnce(
  mue: VisionLanguagePipeline,
  {task, maxNewTokens}: ExplainFlags,
  picture: Uint8Array,
  text: string | undefined,
  exit: CustomExit,
  signal: AbortSignal,
): Promise<Answer> {
  if (task === 'entail') return await mue.entail(picture, text!, {exit, signal});
  const options = {exit, signal, num_beams: 1, max_new_tokens: maxNewTokens};
  return task === 'ask' ? await mue.ask(picture, text!, options) : await mue.caption(picture, options);
}
