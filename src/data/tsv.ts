import {InputError, MueError, UsageError} from '../runtime/errors.js';
import {decodePicture} from './base64.js';
import {
  badRow,
  type DatasetItem,
  type DatasetTask,
  entailmentLabel,
  type OnBadRow,
  reportBadRow,
  requireText,
} from './dataset.js';
import {type ByteChunks, type Line, readLines} from './lines.js';

/** A field that a column of an OFA TSV file may hold. */
export type TsvField = 'id' | 'imageId' | 'image' | 'text' | 'premise' | 'references' | 'label' | 'answers' | 'objects';

/** Field → column: a number from 0, or a name of the header line (then the first line is one). */
export type TsvColumns = Readonly<Partial<Record<TsvField, number | string>>>;

/** The columns of OFA's published files, and of the originals of `data/scenes`. */
export const DEFAULT_COLUMNS: Readonly<Record<DatasetTask, TsvColumns>> = {
  caption: {id: 0, imageId: 1, references: 2, objects: 3, image: 4},
  'snli-ve': {id: 0, imageId: 1, image: 2, text: 3, premise: 4, label: 5},
  vqa: {id: 0, imageId: 1, text: 2, answers: 3, objects: 4, image: 5},
};

/** The fields that OFA's `selected_cols` names by their order, for each task (docs/reference/ofa-mue.md 8). */
const SELECTED: Readonly<Record<DatasetTask, readonly TsvField[]>> = {
  caption: ['id', 'image', 'references'],
  'snli-ve': ['id', 'image', 'text', 'premise', 'label'],
  vqa: ['id', 'image', 'text', 'answers', 'objects'],
};
const REQUIRED = 2;

/**
 * Reads OFA's `selected_cols`, such as "1,4,2" for captions, "0,2,3,4,5" for entailment, "0,5,2,3,4" for questions; or
 * names of a header line instead of numbers. Columns at the end may be left out.
 * @throws UsageError `bad-columns`
 */
export function parseColumns(selected: string, task: DatasetTask): TsvColumns {
  const fields = SELECTED[task];
  const parts = selected.split(',').map((part) => part.trim());
  if (parts.length < REQUIRED || parts.length > fields.length || parts.includes('')) {
    throw new UsageError(
      'bad-columns',
      `columns: wanted ${REQUIRED} to ${fields.length} for ${fields.join(', ')}, got ${JSON.stringify(selected)}`,
    );
  }
  return Object.fromEntries(parts.map((part, i) => [fields[i], /^\d+$/.test(part) ? Number(part) : part]));
}

/** The options of `readTsv`. */
export interface TsvOptions {
  readonly task: DatasetTask;
  /** Default: `DEFAULT_COLUMNS` of the task. */
  readonly columns?: TsvColumns;
  readonly onBadRow?: OnBadRow;
}

/**
 * The rows of an OFA TSV file: pictures in base64 of either alphabet, references and objects joined by `&&`, answers
 * "conf|!+answer" joined by `&&`. One row is in memory at a time.
 * @throws UsageError `bad-columns` if the header line lacks a named column
 * @throws InputError `bad-row` where no `onBadRow` listens
 */
export async function* readTsv(chunks: ByteChunks, options: TsvOptions): AsyncGenerator<DatasetItem> {
  const {task, columns = DEFAULT_COLUMNS[task], onBadRow} = options;
  if (columns.image === undefined) throw new UsageError('bad-columns', 'columns: no column is named for the picture');
  const named = Object.values(columns).some((column) => typeof column === 'string');
  let places: ReadonlyMap<TsvField, number> | undefined = named ? undefined : resolveColumns(columns, []);
  for await (const row of readLines(chunks, {onBadRow})) {
    if (places === undefined) {
      places = resolveColumns(columns, row.text.split('\t'));
      continue;
    }
    let item: DatasetItem;
    try {
      item = requireText(readRow(row, places), task);
    } catch (error) {
      if (!(error instanceof MueError)) throw error;
      const header = row.line === 1 && looksLikeHeader(row);
      const cause = header ? headerLine(error) : error;
      const whole = cause.code === 'bad-row' ? cause : badRow(row.line, cause.message, cause);
      reportBadRow(onBadRow, row.line, whole);
      continue;
    }
    yield item;
  }
}

function resolveColumns(columns: TsvColumns, header: readonly string[]): ReadonlyMap<TsvField, number> {
  const places = new Map<TsvField, number>();
  for (const [field, column] of Object.entries(columns) as [TsvField, number | string][]) {
    const place = typeof column === 'number' ? column : header.indexOf(column);
    if (!Number.isSafeInteger(place) || place < 0) {
      const there = header.length > 0 ? `; the header line has ${header.slice(0, 20).join(', ').slice(0, 200)}` : '';
      throw new UsageError('bad-columns', `columns: there is no column ${JSON.stringify(column)} for ${field}${there}`);
    }
    places.set(field, place);
  }
  return places;
}

/** Whether a line consists of short names, as a header does and a row with a picture never. */
function looksLikeHeader({text}: Line): boolean {
  return text.length < 1000 && text.split('\t').every((cell) => /^"?[\p{L}_][\p{L}\p{N}_ .-]{0,60}"?$/u.test(cell));
}

function headerLine(cause: MueError): InputError {
  return new InputError('header-line', 'it is a header line, not a row', {
    cause,
    hint: 'Name its columns, or remove it: --columns id,image,caption reads columns by the names of a header line.',
  });
}

function readRow(row: Line, places: ReadonlyMap<TsvField, number>): DatasetItem {
  const {line} = row;
  const cells = row.text.split('\t');
  const cell = (field: TsvField): string | undefined => {
    const place = places.get(field);
    if (place === undefined) return undefined;
    const value = cells[place];
    if (value === undefined) throw badRow(line, `it has ${cells.length} columns, wanted ${field} in column ${place}`);
    return value;
  };
  const picture = cell('image')!;
  if (picture === '') throw badRow(line, 'the picture is missing');
  const id = cell('id') ?? String(line);
  const text = cell('text');
  const premise = cell('premise');
  const label = cell('label');
  const references = cell('references');
  const answers = cell('answers');
  const objects = cell('objects');
  return {
    id,
    imageId: cell('imageId') ?? id,
    image: {bytes: decodePicture(picture)},
    text,
    // An empty cell is a field that the row lacks.
    premise: premise || undefined,
    references: references ? references.split('&&') : undefined,
    label: label ? entailmentLabel(label, line) : undefined,
    answers: answers ? parseAnswers(answers, line) : undefined,
    objects: objects ? objects.split('&&') : undefined,
    line,
  };
}

function parseAnswers(text: string, line: number): ReadonlyMap<string, number> {
  const answers = new Map<string, number>();
  for (const part of text.split('&&')) {
    const cut = part.indexOf('|!+');
    const confidence = cut > 0 ? Number(part.slice(0, cut)) : Number.NaN;
    if (!Number.isFinite(confidence))
      throw badRow(line, `the answer ${JSON.stringify(part.slice(0, 40))} is not "confidence|!+answer"`);
    answers.set(part.slice(cut + 3), confidence);
  }
  return answers;
}
