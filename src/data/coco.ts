import {InputError} from '../runtime/errors.js';
import {badRow, type DatasetItem, type OnBadRow, reportBadRow} from './dataset.js';
import {jsonArrayItems, jsonMembers} from './json-array.js';
import type {ByteChunks} from './lines.js';

// COCO's annotations, and VQA's, stand apart from what they are about: a first reading collects them by id, a second one
// gives the rows. The rest of a file is never in memory.

/** The characters of annotations that are kept: ten times those of all captions of COCO. */
const MAX_ANNOTATIONS = 2 ** 28;

/** The options of `readCocoCaptions` and `readVqa`. */
export interface CocoOptions {
  /**
   * Turns a picture's name in the data into a path.
   * @param names the names that the picture may have, the likeliest first
   * @throws InputError for a name that leads out of the folder
   */
  readonly findPicture: (names: readonly string[]) => string;
  /** The answers to the questions of a VQA file, where they are in a file of their own; opened at every call. */
  readonly annotations?: () => ByteChunks;
  readonly onBadRow?: OnBadRow;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * COCO's captions (captions_val2014.json): `{"images": [{"id", "file_name"}], "annotations": [{"image_id",
 * "caption"}]}`; a picture is a row. `line` is the number of the picture, from 1.
 * @param open    the bytes of the file from the beginning
 * @throws InputError `bad-json`, `dataset-too-large`; `bad-row` where no `onBadRow` listens
 */
export async function* readCocoCaptions(open: () => ByteChunks, options: CocoOptions): AsyncGenerator<DatasetItem> {
  const captions = new Map<string, string[]>();
  const count = counter();
  let annotation = 0;
  for await (const {value} of jsonMembers(open(), {arrays: ['annotations']})) {
    annotation++;
    const {image_id, caption} = fieldsOf(value);
    if (!isId(image_id) || typeof caption !== 'string')
      throw new InputError('bad-json', `annotation ${annotation} is no caption: wanted {"image_id", "caption"}`, {
        hint: 'The captions of COCO are in captions_*.json; instances_* and person_keypoints_* hold other things.',
      });
    count(caption);
    const list = captions.get(String(image_id));
    if (list === undefined) captions.set(String(image_id), [caption]);
    else list.push(caption);
  }
  yield* rowsOf(open(), 'images', options, (entry, line) => {
    const {id, file_name, coco_url} = entry;
    if (!isId(id)) throw badRow(line, 'id is missing');
    if (typeof file_name !== 'string' || file_name === '') throw badRow(line, 'file_name is missing');
    // The archives of COCO unpack to folders: http://images.cocodataset.org/val2017/000000397133.jpg
    const folder = typeof coco_url === 'string' ? coco_url.split('/').at(-2) : undefined;
    return {
      id: String(id),
      imageId: String(id),
      image: {path: options.findPicture(folder ? [file_name, `${folder}/${file_name}`] : [file_name])},
      references: captions.get(String(id)),
      line,
    };
  });
}

/**
 * The questions of VQA v2, with their answers if those are in the file or in `annotations`: `{"data_subtype",
 * "questions": [{"question_id", "image_id", "question"}]}` and `{"annotations": [{"question_id", "answers":
 * [{"answer"}]}]}`. An answer's confidence is its score by VQA's rule. `line` is the number of the question, from 1.
 * @param open    the bytes of the file from the beginning
 * @throws InputError as `readCocoCaptions` does
 */
export async function* readVqa(open: () => ByteChunks, options: CocoOptions): AsyncGenerator<DatasetItem> {
  const answers = new Map<string, ReadonlyMap<string, number>>();
  const files = new Map<string, string>();
  const count = counter();
  let subtype: string | undefined;
  for await (const {key, value} of jsonMembers(open(), {arrays: ['annotations', 'images'], texts: ['data_subtype']})) {
    if (key === 'annotations') keep(value);
    else if (key === 'data_subtype') subtype = String(value).replace('test-dev', 'test');
    else {
      const {id, file_name} = fieldsOf(value);
      if (!isId(id) || typeof file_name !== 'string') continue;
      count(file_name);
      files.set(String(id), file_name);
    }
  }
  if (options.annotations) for await (const value of jsonArrayItems(options.annotations(), 'annotations')) keep(value);
  yield* rowsOf(open(), 'questions', options, (entry, line) => {
    const {question_id, image_id, question} = entry;
    if (!isId(image_id)) throw badRow(line, 'image_id is missing');
    if (typeof question !== 'string' || question === '') throw badRow(line, 'there is no question');
    const imageId = String(image_id);
    const id = isId(question_id) ? String(question_id) : String(line);
    const file = files.get(imageId);
    const names = file === undefined ? pictureNames(imageId, subtype) : [file];
    return {
      id,
      imageId,
      image: {path: options.findPicture(names)},
      text: question,
      answers: answers.get(id),
      line,
    };
  });

  function keep(value: unknown): void {
    const {question_id, answers: given} = fieldsOf(value);
    const list = Array.isArray(given) ? given.map((part) => fieldsOf(part)['answer']) : [];
    if (!isId(question_id) || list.length === 0 || list.some((answer) => typeof answer !== 'string'))
      throw new InputError(
        'bad-json',
        'an annotation is none of VQA v2: wanted {"question_id", "answers": [{"answer"}]}',
      );
    const scores = answerScores(list as string[]);
    for (const answer of scores.keys()) count(answer);
    answers.set(String(question_id), scores);
  }
}

/**
 * The score of each answer that people gave: the mean over all choices of all but one of them of min(1, n / 3), where n
 * of those gave it. Of ten people: 0.3, 0.6, 0.9, 1; of one alone: 1.
 */
export function answerScores(given: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const answer of given) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  const all = given.length;
  if (all === 1) return new Map([[given[0]!, 1]]);
  const score = (n: number): number => (n * Math.min(3, n - 1) + (all - n) * Math.min(3, n)) / (3 * all);
  return new Map([...counts].map(([answer, n]) => [answer, score(n)]));
}

/** The names that a picture of COCO may have, by its number: those of 2014, of 2017, and plain ones. */
function pictureNames(id: string, subtype: string | undefined): readonly string[] {
  const padded = id.padStart(12, '0');
  const named = subtype === undefined ? [] : [`COCO_${subtype}_${padded}.jpg`];
  const names = [...named, `${padded}.jpg`, `${id}.jpg`, `${id}.png`];
  return subtype === undefined ? names : names.flatMap((name) => [name, `${subtype}/${name}`]);
}

async function* rowsOf(
  chunks: ByteChunks,
  key: string,
  {onBadRow}: CocoOptions,
  read: (entry: Fields, line: number) => DatasetItem,
): AsyncGenerator<DatasetItem> {
  let line = 0;
  for await (const entry of jsonArrayItems(chunks, key)) {
    line++;
    let item: DatasetItem;
    try {
      item = read(fieldsOf(entry), line);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      reportBadRow(onBadRow, line, error.code === 'bad-row' ? error : badRow(line, error.message, error));
      continue;
    }
    yield item;
  }
}

/** Counts the characters that are kept. @returns a function that throws InputError `dataset-too-large` */
function counter(): (text: string) => void {
  let characters = 0;
  return (text) => {
    characters += text.length;
    if (characters > MAX_ANNOTATIONS)
      throw new InputError('dataset-too-large', `the annotations have more than ${MAX_ANNOTATIONS} characters`, {
        hint: 'Write the rows as JSON lines, which are read one by one.',
      });
  };
}

/** The fields of a JSON object; none of anything else. */
function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function isId(value: unknown): value is number | string {
  return typeof value === 'number' || (typeof value === 'string' && value !== '');
}
