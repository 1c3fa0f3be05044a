import {InputError, MueError} from '../runtime/errors.js';
import {decodePicture, isDataUrl} from './base64.js';
import {
  badRow,
  type DatasetItem,
  type DatasetTask,
  entailmentLabel,
  type ImageSource,
  type OnBadRow,
  reportBadRow,
  requireText,
} from './dataset.js';
import {arrayOfRows} from './json-array.js';
import {type ByteChunks, type Line, readLines} from './lines.js';
import {parseJson} from '../runtime/parse-json.js';

/** The options of `readJsonl`. */
export interface JsonlOptions {
  readonly task: DatasetTask;
  /**
   * Turns a picture's name in the data into a path.
   * @throws InputError for a name that leads out of the folder
   */
  readonly imagePath: (name: string) => string;
  readonly onBadRow?: OnBadRow;
}

/** A parsed row whose values are not checked yet. */
interface Fields {
  readonly [name: string]: unknown;
  readonly answers?: unknown;
}

const OWN_FIELDS = new Set(['id', 'imageId', 'image', 'text', 'premise', 'references', 'label', 'answers', 'objects']);

/**
 * The rows of a JSON lines file: plain ones `{"image", "text"?, "references"?, "label"?, "answers"?, "id"?, "imageId"?,
 * "premise"?, "objects"?, …}` (the picture a file's name or a data URL), whose other fields are kept in `extra`, and those of SNLI-VE (`sentence1`, `sentence2`,
 * `gold_label`, `Flickr30K_ID` or `Flikr30kID`), without the rows that have no agreed label ("-").
 * @throws InputError `not-an-object`, `not-json-lines`; `bad-row` where no `onBadRow` listens
 */
export async function* readJsonl(chunks: ByteChunks, options: JsonlOptions): AsyncGenerator<DatasetItem> {
  let first = true;
  for await (const row of readLines(chunks, {onBadRow: options.onBadRow})) {
    if (first) checkLines(row.text);
    first = false;
    let item: DatasetItem | undefined;
    try {
      item = readRow(row, options);
    } catch (error) {
      if (!(error instanceof MueError)) throw error;
      reportBadRow(
        options.onBadRow,
        row.line,
        error.code === 'bad-row' ? error : badRow(row.line, error.message, error),
      );
      continue;
    }
    if (item !== undefined) yield item;
  }
}

/**
 * Checks, by its first line, that a file has a value a line.
 * @throws InputError `not-an-object`, `not-json-lines`
 */
function checkLines(text: string): void {
  if (text.trimStart().startsWith('[')) throw arrayOfRows();
  // Printed over several lines, an object begins like this.
  if (text.trim() !== '{') return;
  throw new InputError('not-json-lines', 'the file is JSON over several lines, not JSON lines: one object a line', {
    hint: 'Name a file of COCO or VQA .json; write other rows on a line each: jq -c . rows.json > rows.jsonl',
  });
}

function readRow({text, line}: Line, {task, imagePath}: JsonlOptions): DatasetItem | undefined {
  let row: unknown;
  try {
    row = parseJson(text);
  } catch (cause) {
    throw badRow(line, `not JSON: ${(cause as Error).message}`, cause);
  }
  if (typeof row !== 'object' || row === null || Array.isArray(row)) throw badRow(line, 'wanted a JSON object');
  const fields = row as Fields;
  if ('gold_label' in fields) return readSnliVe(fields, line, imagePath);
  return requireText(readPlain(fields, line, imagePath), task);
}

function readSnliVe(fields: Fields, line: number, imagePath: (name: string) => string): DatasetItem | undefined {
  const label = wantString(fields, 'gold_label', line);
  if (label === '-') return undefined;
  // The data set misspells its own field; both spellings occur, with and without ".jpg".
  const picture = wantString(fields, 'Flickr30K_ID' in fields ? 'Flickr30K_ID' : 'Flikr30kID', line);
  const imageId = picture.replace(/\.jpg$/, '');
  const premise = optionalString(fields, 'sentence1', line);
  return {
    id: optionalString(fields, 'pairID', line) ?? String(line),
    imageId,
    image: {path: imagePath(`${imageId}.jpg`)},
    text: wantString(fields, 'sentence2', line),
    premise,
    label: entailmentLabel(label, line),
    line,
  };
}

function readPlain(fields: Fields, line: number, imagePath: (name: string) => string): DatasetItem {
  const picture = wantString(fields, 'image', line);
  const text = optionalString(fields, 'text', line);
  const premise = optionalString(fields, 'premise', line);
  const label = optionalString(fields, 'label', line);
  const references = optionalStrings(fields, 'references', line);
  const objects = optionalStrings(fields, 'objects', line);
  const answers = readAnswers(fields.answers, line);
  const extra = Object.entries(fields).filter(([name]) => !OWN_FIELDS.has(name));
  return {
    id: optionalString(fields, 'id', line) ?? String(line),
    imageId: optionalString(fields, 'imageId', line) ?? (isDataUrl(picture) ? String(line) : picture),
    image: pictureOf(picture, imagePath),
    text,
    premise,
    references,
    label: label === undefined ? undefined : entailmentLabel(label, line),
    answers,
    objects,
    extra: extra.length === 0 ? undefined : Object.fromEntries(extra),
    line,
  };
}

/** A picture by its name, or in the data itself. @throws InputError for a name that leads out, or that is no name */
function pictureOf(picture: string, imagePath: (name: string) => string): ImageSource {
  if (isDataUrl(picture) || /^b['"]/.test(picture)) return {bytes: decodePicture(picture)};
  if (/^https?:\/\//i.test(picture))
    throw new InputError('image-url', `the picture ${JSON.stringify(picture.slice(0, 80))} is a URL, not a file`, {
      hint: 'Download the pictures first; nothing is fetched.',
    });
  return {path: imagePath(picture)};
}

function readAnswers(value: unknown, line: number): ReadonlyMap<string, number> | undefined {
  if (value === undefined || value === null) return undefined;
  const list: unknown[] = Array.isArray(value) ? value : typeof value === 'object' ? Object.entries(value) : [];
  // Pairs keep an order that an object would not keep for answers such as "2".
  const pairs = list.map((part) => (typeof part === 'string' ? [part, 1] : part));
  const sound = (pair: unknown): pair is [string, number] =>
    Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string' && Number.isFinite(pair[1]);
  if (pairs.length === 0 || !pairs.every(sound)) {
    throw badRow(line, 'answers: wanted {"answer": confidence}, [["answer", confidence]] or ["answer"]');
  }
  return new Map(pairs);
}

function wantString(fields: Fields, name: string, line: number): string {
  const value = optionalString(fields, name, line);
  if (value === undefined || value === '') throw badRow(line, `${name} is missing`);
  return value;
}

/** A text, if it is there. Ids are often numbers in JSON: those are taken as their digits. */
function optionalString(fields: Fields, name: string, line: number): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'string')
    throw badRow(line, `${name}: wanted a text, got ${JSON.stringify(value).slice(0, 40)}`);
  return value;
}

function optionalStrings(fields: Fields, name: string, line: number): readonly string[] | undefined {
  const value = fields[name];
  return value === undefined || value === null ? undefined : wantStrings(value, name, line);
}

function wantStrings(value: unknown, name: string, line: number): readonly string[] {
  if (!Array.isArray(value) || value.some((part) => typeof part !== 'string'))
    throw badRow(line, `${name}: wanted a list of texts`);
  return value as readonly string[];
}
