import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import {
  type Dataset,
  type DatasetItem,
  DATASET_TASKS,
  type DatasetTask,
  type OnBadRow,
  reportBadRow,
} from '../../data/dataset.js';
import {annotationsUnused, readJson, splitUnused} from '../../data/json-dataset.js';
import {readJsonl} from '../../data/jsonl.js';
import type {ByteChunks} from '../../data/lines.js';
import {parseColumns, readTsv, type TsvColumns} from '../../data/tsv.js';
import {checkArguments, fields, FUNCTION, oneOf, optional, PATH} from '../../runtime/check-arguments.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {PICTURES} from '../files/picture-paths.js';
import {namedEntry, streamRegularFile, whyUnreadable} from '../files/regular-file.js';
import {insideFolder} from './inside-folder.js';

/** The options of `openDataset`. */
export interface OpenDatasetOptions {
  readonly task: DatasetTask;
  /**
   * The columns of a TSV file: OFA's `selected_cols` ("1,4,2") or a table of fields. Default: `DEFAULT_COLUMNS` of the
   * task.
   */
  readonly columns?: string | TsvColumns;
  /**
   * The folder of the pictures that a JSON file names. Default: the file's own folder. Neither names nor links may lead
   * out of it.
   */
  readonly images?: string;
  /** The split of a Karpathy file. Default: all. */
  readonly split?: string;
  /** The file of the answers to the questions of a VQA v2 file (.json, also with .gz). */
  readonly annotations?: string;
  /** Called for each row that is skipped; without it the first bad row is thrown. */
  readonly onBadRow?: OnBadRow;
}

/**
 * Opens a data set: `.tsv` (OFA), `.jsonl` (plain or SNLI-VE), `.json` (COCO captions, in Karpathy's splits or as
 * published; VQA v2), each also with `.gz`, or a folder of pictures. Nothing is read before the first iteration, and then row by row; every iteration
 * starts from the beginning.
 * @throws UsageError `dataset-format`, `bad-columns`, `split-unused`, `annotations-unused`; while iterating
 *   `dataset-task`, `unknown-split`
 * @throws InputError `dataset-not-found`; while iterating `dataset-unreadable`, `dataset-corrupt` (damaged gzip),
 *   `bad-json`, and `bad-row` or `image-outside` where no `onBadRow` listens
 */
export function openDataset(file: string, options: OpenDatasetOptions): Dataset {
  checkArguments('openDataset', {
    file: [file, PATH],
    options: [
      options,
      fields({
        task: oneOf(DATASET_TASKS),
        onBadRow: optional(FUNCTION),
        images: optional(PATH),
        annotations: optional(PATH),
      }),
    ],
  });
  const {task, split, onBadRow} = options;
  const entry = namedEntry(file);
  if (entry.kind === 'neither') throw new InputError('dataset-not-found', `${file}: ${entry.why}`);
  if (entry.kind === 'folder') return dataset(() => readFolder(file, onBadRow));
  const imagePath = insideFolder(options.images ?? path.dirname(file));
  const format = path.extname(file.replace(/\.gz$/i, '')).toLowerCase();
  if (format !== '.json' && split !== undefined) throw splitUnused();
  if (format !== '.json' && options.annotations !== undefined) throw annotationsUnused();
  const {annotations: answers} = options;
  const annotations = answers === undefined ? undefined : () => readChunks(answers);
  switch (format) {
    case '.tsv': {
      const columns = typeof options.columns === 'string' ? parseColumns(options.columns, task) : options.columns;
      return dataset(() => readTsv(readChunks(file), {task, columns, onBadRow}));
    }
    case '.jsonl':
    case '.ndjson':
      return dataset(() => readJsonl(readChunks(file), {task, imagePath, onBadRow}));
    case '.json':
      return dataset(() =>
        readJson(() => readChunks(file), {task, findPicture: firstThere(imagePath), split, annotations, onBadRow}),
      );
    default:
      throw new UsageError(
        'dataset-format',
        `${file}: a data set is .tsv, .jsonl or .json (also with .gz) or a folder of pictures`,
        {hint: format === '.csv' ? 'Save it with tabs as .tsv, or its rows as JSON lines.' : undefined},
      );
  }
}

/**
 * The bytes of a file, unpacked if its name ends in .gz, chunk by chunk.
 * @throws InputError `dataset-unreadable`, `dataset-corrupt`
 */
export async function* readChunks(file: string): ByteChunks & AsyncGenerator<Uint8Array> {
  let raw: fs.ReadStream;
  try {
    raw = streamRegularFile(file, {highWaterMark: 1 << 18});
  } catch (cause) {
    throw unreadable(file, cause);
  }
  const stream = /\.gz$/i.test(file) ? raw.pipe(zlib.createGunzip()) : raw;
  // pipe() does not hand on errors of the source.
  if (stream !== raw) raw.on('error', (error) => stream.destroy(error));
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (cause) {
    throw new InputError('dataset-corrupt', `${file}: ${cause instanceof Error ? cause.message : cause}`, {cause});
  } finally {
    raw.destroy();
  }
}

/** The path of the first of a picture's names that is there, else of its first name. */
function firstThere(imagePath: (name: string) => string): (names: readonly string[]) => string {
  return (names) => {
    const paths = names.map(imagePath);
    return (paths.length > 1 ? paths.find((file) => namedEntry(file).kind === 'file') : undefined) ?? paths[0]!;
  };
}

function dataset(rows: () => AsyncGenerator<DatasetItem>): Dataset {
  return {[Symbol.asyncIterator]: rows};
}

async function* readFolder(folder: string, onBadRow: OnBadRow | undefined): AsyncGenerator<DatasetItem> {
  const imagePath = insideFolder(folder);
  const names = folderEntries(folder)
    .filter((entry) => !entry.isDirectory() && PICTURES.test(entry.name))
    .map((entry) => entry.name)
    .sort();
  for (const [i, name] of names.entries()) {
    let file: string;
    try {
      file = imagePath(name);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      reportBadRow(onBadRow, i + 1, error);
      continue;
    }
    yield {id: name, imageId: name, image: {path: file}, line: i + 1};
  }
}

/**
 * What is in a folder, in no order.
 * @throws InputError `dataset-unreadable`
 */
export function folderEntries(folder: string): readonly fs.Dirent[] {
  try {
    return fs.readdirSync(folder, {withFileTypes: true});
  } catch (cause) {
    throw unreadable(folder, cause);
  }
}

/** The error for a data set that is there but cannot be opened. */
export function unreadable(file: string, cause: unknown): InputError {
  return new InputError('dataset-unreadable', `${file}: ${whyUnreadable(cause)}`, {cause});
}
