import type {Dataset, DatasetItem, DatasetTask, ImageSource} from '../data/dataset.js';
import type {RgbImage} from '../data/image.js';
import {InputError, throwIfAborted} from '../runtime/errors.js';
import type {Answer} from '../tasks/answer.js';
import type {VisionLanguagePipeline} from '../tasks/pipeline.js';
import type {ExitChoice} from '../tasks/exits.js';
import type {GenerateOptions} from '../tasks/generation-options.js';
import {type EvaluationRow, evaluationRow} from './row.js';
import {inShard, type Shard, WHOLE} from './shard.js';

/** A model with the tasks that are evaluated. */
export type Answerer = Pick<VisionLanguagePipeline, 'captionAll' | 'entailAll' | 'askAll'>;

export interface EvaluationOptions {
  readonly task: DatasetTask;
  readonly answerer: Answerer;
  readonly exit?: ExitChoice;
  readonly generation?: GenerateOptions;
  /** Questions: the answers that are allowed. */
  readonly answers?: readonly string[];
  /** Entailment: also show the text premise; only for models that were trained so (`add_caption`). */
  readonly premise?: boolean;
  /** Reads and decodes a picture. @throws InputError if it cannot */
  readonly readPicture: (image: ImageSource) => Promise<RgbImage>;
  /**
   * Rows answered together; default 1. They are neighbours in the shard, and the same ones whatever is done already: a
   * resumed run gives the same bytes.
   */
  readonly batch?: number;
  /** Only the first rows of the data set, before it is sharded. */
  readonly limit?: number;
  readonly shard?: Shard;
  /** Ids of the rows that are done already, by index. */
  readonly done?: ReadonlyMap<number, string>;
  /** Times that the first row is answered beforehand: it pays for compiling kernels. Default 1. */
  readonly warmup?: number;
  readonly trace?: boolean;
  readonly signal?: AbortSignal;
  /** Called with a row as soon as it is known; the next (or the next batch) does not begin before it returns. */
  readonly onRow: (row: EvaluationRow) => void;
  /** Called for a row that cannot be answered; the run goes on. */
  readonly onFailed: (item: DatasetItem, index: number, error: InputError) => void;
  /** Called for rows that are passed over because they are done. */
  readonly onSkipped?: (index: number) => void;
}

/**
 * Answers the rows of a data set, one after the other or in batches. A picture that several rows in succession ask
 * about is decoded once, but encoded for each of them: the cost of a row does not depend on its neighbours.
 * @returns how many rows the data set has, up to the limit and in all shards
 * @throws AbortError
 * @throws InputError `data-changed` if a done row is another one now
 */
export async function evaluate(dataset: Dataset, options: EvaluationOptions): Promise<{readonly rows: number}> {
  const {
    limit = Number.POSITIVE_INFINITY,
    shard = WHOLE,
    batch = 1,
    task,
    done,
    trace = false,
    signal,
    onRow,
    onFailed,
  } = options;
  let {warmup = 1} = options;
  let rows = 0;
  let last = performance.now();
  let picture:
    | {readonly imageId: string; readonly source: ImageSource; readonly image: RgbImage; readonly ms: number}
    | undefined;
  let waiting: Waiting[] = [];
  if (limit <= 0) return {rows};
  for await (const item of dataset) {
    throwIfAborted(signal);
    const index = rows++;
    const known = done?.get(index);
    if (known !== undefined && known !== item.id) throw changed(index, known, item.id);
    if (inShard(index, shard)) waiting.push({item, index, known: known !== undefined});
    else if (known !== undefined) options.onSkipped?.(index);
    if (waiting.length >= batch) await flush();
    if (rows >= limit) break;
  }
  await flush();
  return {rows};

  async function flush(): Promise<void> {
    const group = waiting;
    waiting = [];
    if (group.every(({known}) => known)) {
      for (const {index} of group) options.onSkipped?.(index);
      last = performance.now();
      return;
    }
    // Done rows are answered again where their batch is not done: who shares a batch decides how digits are rounded.
    const ready = await readPictures(group);
    for (; warmup > 0 && ready.length > 0; warmup--) {
      await answerEach(ready, options);
      last = performance.now();
    }
    const answers = await answerEach(ready, options);
    for (const {item, index, known} of group) {
      const answer = answers.get(index);
      if (known) options.onSkipped?.(index);
      else if (answer instanceof InputError) onFailed(item, index, answer);
      else if (answer) {
        const now = performance.now();
        const {ms} = ready.find((row) => row.index === index)!;
        onRow(evaluationRow(item, answer, {task, index, trace, image: ms, wall: now - last}));
        last = now;
      }
    }
  }

  async function readPictures(group: readonly Waiting[]): Promise<readonly Ready[]> {
    const ready: Ready[] = [];
    for (const row of group) {
      try {
        ready.push({...row, ...(await pictureOf(row.item))});
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        if (!row.known) onFailed(row.item, row.index, error);
      }
    }
    return ready;
  }

  async function pictureOf({
    imageId,
    image: source,
  }: DatasetItem): Promise<{readonly image: RgbImage; readonly ms: number}> {
    if (picture?.imageId === imageId && sameSource(picture.source, source)) return picture;
    const start = performance.now();
    const image = await options.readPicture(source);
    picture = {imageId, source, image, ms: performance.now() - start};
    return picture;
  }
}

/** A row of the shard before its picture is read. */
interface Waiting {
  readonly item: DatasetItem;
  readonly index: number;
  /** Whether it is done already. */
  readonly known: boolean;
}

/** A row with its picture. */
interface Ready extends Waiting {
  readonly image: RgbImage;
  /** Milliseconds of reading the picture. */
  readonly ms: number;
}

/** An answer, or the reason that there is none, by index. */
async function answerEach(
  rows: readonly Ready[],
  options: EvaluationOptions,
): Promise<ReadonlyMap<number, Answer | InputError>> {
  try {
    const answers = rows.length === 0 ? [] : await ask(rows, options);
    return new Map(rows.map(({index}, i) => [index, unusable(answers[i]!) ?? answers[i]!]));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    if (rows.length === 1) return new Map([[rows[0]!.index, error]]);
    // A row spoils the batch: each is answered alone.
    const found = new Map<number, Answer | InputError>();
    for (const row of rows) for (const [index, answer] of await answerEach([row], options)) found.set(index, answer);
    return found;
  }
}

async function ask(rows: readonly Ready[], options: EvaluationOptions): Promise<readonly Answer[]> {
  const {task, answerer, exit, signal, generation, answers, premise} = options;
  if (task === 'caption')
    return await answerer.captionAll(
      rows.map(({image}) => image),
      {...generation, exit, signal},
    );
  const asked = rows.map(({item, image}) => {
    // Readers check it too, but a folder of pictures has no texts.
    if (item.text === undefined)
      throw new InputError('text-missing', `there is no ${task === 'vqa' ? 'question' : 'hypothesis'}`);
    return {picture: image, text: item.text, premise: premise ? item.premise : undefined};
  });
  if (task === 'vqa')
    return await answerer.askAll(
      asked.map(({picture, text: question}) => ({picture, question})),
      {...generation, answers, exit, signal},
    );
  return await answerer.entailAll(
    asked.map(({text: hypothesis, ...of}) => ({...of, hypothesis})),
    {exit, signal},
  );
}

/** The reason why an answer cannot be compared with others; undefined if it can. */
export function unusable({score, macs}: Pick<Answer, 'score' | 'macs'>): InputError | undefined {
  if (Number.isFinite(score) && Number.isFinite(macs.run) && Number.isFinite(macs.full)) return undefined;
  return new InputError('score-not-finite', `the answer's score is ${score}; a finite number is needed`, {
    hint: 'Damaged weights give NaN; where no answer was found within the limits, the score is −Infinity.',
  });
}

/** Whether two rows read one picture. Paths are trusted, bytes are compared: two rows may claim one image id. */
function sameSource(a: ImageSource, b: ImageSource): boolean {
  if ('path' in a) return 'path' in b && a.path === b.path;
  return 'bytes' in b && a.bytes.length === b.bytes.length && a.bytes.every((byte, i) => byte === b.bytes[i]);
}

function changed(index: number, known: string, now: string): Error {
  return new InputError(
    'data-changed',
    `row ${index} was '${known}' when it was answered, but is '${now}' in the data set now`,
    {
      hint: 'Evaluate a changed data set into another folder.',
    },
  );
}
