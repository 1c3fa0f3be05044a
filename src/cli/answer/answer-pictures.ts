import type {Command} from 'commander';
import {AbortError, BackendError, UsageError, WeightsError} from '../../runtime/errors.js';
import type {Answer} from '../../tasks/answer.js';
import type {AnswerOptions} from '../../tasks/generation-options.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {TaskName} from '../../tasks/exits.js';
import type {CommandContext} from '../core/define-command.js';
import {describeError} from '../core/errors.js';
import {addExitOptions, addModelOptions, type ExitFlags, type ModelFlags} from '../options/model.js';
import {PictureProgress} from '../core/progress.js';
import {readPicture} from '../core/read-picture.js';
import {answerJson, answerLine, answerText, errorJson} from './format.js';

/** How answers about pictures are printed. */
export interface PrintFlags {
  readonly json?: boolean;
  readonly jsonl?: boolean;
  readonly trace?: boolean;
}

export interface AnswerFlags extends ModelFlags, ExitFlags, PrintFlags {}

/** What every command that answers about pictures takes. */
export function addAnswerOptions(command: Command): Command {
  addExitOptions(addModelOptions(command));
  return command
    .option('--json', 'one JSON object; an array of them for several pictures')
    .option('--jsonl', 'a JSON object a line, as soon as it is known')
    .option('--trace', 'add what was measured at every layer');
}

/** One answer about one picture. */
export type AnswerOne = (mue: VisionLanguagePipeline, picture: Uint8Array, options: AnswerOptions) => Promise<Answer>;

/**
 * Answers about pictures, one after the other, with one model. A picture that fails is reported and the rest is done.
 * @returns 0, 5 if some pictures failed, 1 if all did
 */
export async function answerPictures(
  images: readonly string[],
  task: TaskName,
  flags: AnswerFlags,
  context: CommandContext,
  answerOne: AnswerOne,
): Promise<number> {
  const {signal} = context;
  if (images.length === 0) throw new UsageError('no-input', 'no picture was given');
  if (flags.json && flags.jsonl) throw new UsageError('json-twice', '--json and --jsonl exclude each other');
  // A bad plan is found before the model is loaded, and wrong usage before tfjs is.
  const {exitChoice} = await import('../options/exit.js');
  exitChoice(flags, task);
  const {loadFrom} = await import('../options/model.js');
  const {mue, ms} = await loadFrom(flags, context.out);
  using model = mue;
  const exit = exitChoice(flags, task, mue.plans);
  // A plan that does not fit the model is no fault of the first picture.
  mue.resolveExits(task, exit);
  const backend = mue.runsOn?.device ?? flags.device;
  const width = Math.max(...images.map((image) => image.length));
  using progress = new PictureProgress(images.length, context.out.quiet);
  const out = progress.lines(context.out);
  const objects: object[] = [];
  let failed = 0;
  for (const [i, image] of images.entries()) {
    const load = i === 0 ? ms : 0;
    try {
      const answer = await answerOne(model, await readPicture(image), {exit, signal});
      for (const note of answer.notes) out.say(`warning: ${image}: ${note}`);
      if (flags.json || flags.jsonl) give(answerJson(answer, {image, load, backend, trace: flags.trace ?? false}));
      else out.data(human(image, answer, load));
    } catch (error) {
      if (fatal(error)) throw error;
      failed++;
      if (flags.json || flags.jsonl) give(errorJson(image, error));
      out.warn(`${image}: ${describeError(error)}`.trimEnd());
    }
    progress.step();
  }
  if (flags.json) out.data(JSON.stringify(images.length === 1 ? objects[0] : objects, null, 2));
  return failed === 0 ? 0 : failed === images.length ? 1 : 5;

  function give(object: object): void {
    if (flags.jsonl) out.data(JSON.stringify(object));
    else objects.push(object);
  }

  function human(image: string, answer: Answer, load: number): string {
    if (out.quiet) return images.length === 1 ? answer.text : `${image}\t${answer.text}`;
    const trace = flags.trace ? `\n${traceText(answer)}` : '';
    return (images.length === 1 ? answerText(image, answer, load) : answerLine(image, answer, width)) + trace;
  }
}

/** Errors that every further picture would meet, too. */
function fatal(error: unknown): boolean {
  return (
    error instanceof AbortError ||
    error instanceof UsageError ||
    error instanceof WeightsError ||
    error instanceof BackendError
  );
}

/** A line for every pass through a stack. */
function traceText({trace}: Answer): string {
  const number = (x: number | null): string => (x === null ? '–' : x.toFixed(4));
  return trace
    .map(({stack, step, exitLayer, depth, scores, thresholds}) => {
      const seen = scores.map((score, i) =>
        score === null ? '–' : `${number(score)}/${number(thresholds[i] ?? null)}`,
      );
      return `  ${stack}${step === undefined ? '' : ` step ${step}`}: ${exitLayer}/${depth}  ${seen.join(' ')}`;
    })
    .join('\n');
}
