import type {Answer} from '../../tasks/answer.js';
import type {AnswerOptions} from '../../tasks/generation-options.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {CommandContext} from '../core/define-command.js';
import {isFatal} from '../core/errors.js';
import {FailedImages, readImage} from '../core/inputs.js';
import {ObjectPrinter} from '../core/output.js';
import {ImageProgress} from '../core/progress.js';
import type {AnswerSettings} from '../options/answer.js';
import {picturePaths} from '../../node/files/picture-paths.js';
import {openModel} from '../options/model.js';
import {answerJson, answerLine, answerText, errorJson, traceText} from './format.js';
import {largest} from '../../runtime/extremes.js';

/** Asks the model about one image. */
export type AnswerImage = (model: VisionLanguagePipeline, image: Uint8Array, options: AnswerOptions) => Promise<Answer>;

/**
 * Answers about images, one after the other, with one model. An image that fails is reported and the rest is done.
 * @param names files, folders or patterns of files, at least one; - is stdin
 * @returns the exit code: 0, 5 if some images failed, 1 if all did
 */
export async function answerImages(
  names: readonly string[],
  {task, model: choice, exit, format, trace}: AnswerSettings,
  context: CommandContext,
  answerImage: AnswerImage,
): Promise<number> {
  const images = picturePaths(names);
  const opened = await openModel(choice, context.out, context.signal);
  using model = opened.model;
  // A plan that does not fit the model is no fault of the first image.
  model.resolveExits(task, exit);
  using progress = new ImageProgress(images.length, context.out.quiet);
  const out = progress.lines(context.out);
  const objects = new ObjectPrinter(out, format, images.length);
  const nameWidth = largest(images.map((image) => image.length));
  const failures = new FailedImages(out);
  for (const [i, image] of images.entries()) {
    const load = i === 0 ? opened.ms : 0;
    try {
      const answer = await answerImage(model, await readImage(image), {exit, signal: context.signal});
      for (const note of answer.notes) out.say(`warning: ${image}: ${note}`);
      if (format === 'text') out.data(forPeople(image, answer, load));
      else objects.add(answerJson(answer, {image, load, backend: opened.device, trace}));
    } catch (error) {
      if (isFatal(error)) throw error;
      objects.add(errorJson(image, error));
      failures.report(image, error);
    }
    progress.step();
  }
  objects.end();
  return failures.exitCode(images.length);

  function forPeople(image: string, answer: Answer, load: number): string {
    const alone = images.length === 1;
    if (out.quiet) return alone ? answer.text : `${image}\t${answer.text}`;
    const text = alone ? answerText(image, answer, load) : answerLine(image, answer, nameWidth);
    return trace ? `${text}\n${traceText(answer)}` : text;
  }
}
