import type {Dataset, DatasetItem, DatasetTask, ImageSource} from '../data/dataset.js';
import type {RgbImage} from '../data/image.js';
import {InputError, throwIfAborted} from '../runtime/errors.js';
import type {Answer} from '../tasks/answer.js';
import type {Assistant, ExitChoice, GenerateOptions} from '../tasks/assistant.js';
import {type EvaluationRow, evaluationRow} from './evaluation-row.js';
import {inShard, type Shard, WHOLE} from './shard.js';

/** What is evaluated: a model with its tasks. */
export type Answerer = Pick<Assistant, 'caption' | 'entail' | 'ask'>;

export interface EvaluationOptions {
  readonly task: DatasetTask;
  readonly answerer: Answerer;
  readonly exit?: ExitChoice | undefined;
  readonly generation?: GenerateOptions | undefined;
  /** Questions: the answers that are allowed. */
  readonly answers?: readonly string[] | undefined;
  /** Entailment: also show the text premise; only for models that were trained so (`add_caption`). */
  readonly premise?: boolean | undefined;
  /** Reads and decodes a picture. @throws InputError if it cannot */
  readonly readPicture: (image: ImageSource) => Promise<RgbImage>;
  /** Only the first rows of the data set, before it is sharded. */
  readonly limit?: number | undefined;
  readonly shard?: Shard | undefined;
  /** Rows that are there already, by index, and their ids. */
  readonly done?: ReadonlyMap<number, string> | undefined;
  /** Times that the first row is answered beforehand: it pays for compiling kernels. Default 1. */
  readonly warmup?: number | undefined;
  readonly trace?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Takes a row as soon as it is known; the next is not begun before it returns. */
  readonly onRow: (row: EvaluationRow) => void;
  /** Told about a row that cannot be answered; the run goes on. */
  readonly onFailed: (item: DatasetItem, index: number, error: InputError) => void;
  /** Told about rows that are passed over because they are done. */
  readonly onSkipped?: ((index: number) => void) | undefined;
}

/**
 * Answers the rows of a data set, one after the other. A picture that several rows in succession ask about is decoded once, but encoded
 * for each of them: what a row costs does not depend on its neighbours.
 * @returns how many rows the data set has (up to the limit), whosever shard they are in
 * @throws AbortError; InputError `data-changed` if a done row is another one now
 */
export async function evaluate(dataset: Dataset, options: EvaluationOptions): Promise<{readonly rows: number}> {
  const {limit = Number.POSITIVE_INFINITY, shard = WHOLE, task, done, trace = false, signal, onRow, onFailed} = options;
  let {warmup = 1} = options;
  let rows = 0;
  let last = performance.now();
  let picture: {readonly imageId: string; readonly source: ImageSource; readonly image: RgbImage; readonly ms: number} | undefined;
  if (limit <= 0) return {rows};
  for await (const item of dataset) {
    throwIfAborted(signal);
    const index = rows++;
    const known = done?.get(index);
    if (known !== undefined) {
      if (known !== item.id) throw changed(index, known, item.id);
      options.onSkipped?.(index);
      last = performance.now();
    } else if (inShard(index, shard)) {
      const answered = await answerRow(item, index);
      // Not where the row's own errors are caught: one that cannot be stored ends the run.
      if (answered !== undefined) {
        const now = performance.now();
        onRow(evaluationRow(item, answered.answer, {task, index, trace, image: answered.ms, wall: now - last}));
        last = now;
      }
    }
    if (rows >= limit) break;
  }
  return {rows};

  async function answerRow(item: DatasetItem, index: number): Promise<{readonly answer: Answer; readonly ms: number} | undefined> {
    try {
      for (; warmup > 0; warmup--) {
        await ask(item, await options.readPicture(item.image), options);
        last = performance.now();
      }
      const {image, ms} = await pictureOf(item);
      const answer = await ask(item, image, options);
      checkAnswer(answer);
      return {answer, ms};
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      onFailed(item, index, error);
      return undefined;
    }
  }

  async function pictureOf({imageId, image: source}: DatasetItem): Promise<{readonly image: RgbImage; readonly ms: number}> {
    if (picture?.imageId === imageId && sameSource(picture.source, source)) return picture;
    const start = performance.now();
    const image = await options.readPicture(source);
    picture = {imageId, source, image, ms: performance.now() - start};
    return picture;
  }
}

async function ask(item: DatasetItem, picture: RgbImage, options: EvaluationOptions): Promise<Answer> {
  const {task, answerer, exit, signal, generation, answers} = options;
  if (task === 'caption') return await answerer.caption(picture, {...generation, exit, signal});
  // Readers check it too; a folder of pictures has no texts.
  if (item.text === undefined) throw new InputError('text-missing', `there is no ${task === 'vqa' ? 'question' : 'hypothesis'}`);
  if (task === 'vqa') return await answerer.ask(picture, item.text, {...generation, answers, exit, signal});
  return await answerer.entail(picture, item.text, {exit, signal, premise: options.premise ? item.premise : undefined});
}

/** @throws InputError for an answer that cannot be compared with others */
function checkAnswer({score, macs}: Answer): void {
  if (Number.isFinite(score) && Number.isFinite(macs.run) && Number.isFinite(macs.full)) return;
  throw new InputError('score-not-finite', `the answer's score is ${score}; a finite number is needed`, {
    hint: 'Damaged weights give NaN; where no answer was found within the limits, the score is −Infinity.',
  });
}

/** Names of pictures are trusted, bytes are compared: two rows may claim the same image id for different pictures. */
function sameSource(a: ImageSource, b: ImageSource): boolean {
  if ('path' in a) return 'path' in b && a.path === b.path;
  return 'bytes' in b && a.bytes.length === b.bytes.length && a.bytes.every((byte, i) => byte === b.bytes[i]);
}

function changed(index: number, known: string, now: string): Error {
  return new InputError('data-changed', `row ${index} was '${known}' when it was answered, but is '${now}' in the data set now`, {
    hint: 'Evaluate a changed data set into another folder.',
  });
}
