import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import type {Dataset, DatasetItem, DatasetTask, OnBadRow} from '../../data/dataset.js';
import {readJsonl} from '../../data/jsonl.js';
import {readKarpathy} from '../../data/karpathy.js';
import type {ByteChunks} from '../../data/lines.js';
import {parseColumns, readTsv, type TsvColumns} from '../../data/tsv.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {PICTURES} from '../files/picture-files.js';

/** The options of `openDataset`. */
export interface OpenDatasetOptions {
  readonly task: DatasetTask;
  /**
   * The columns of a TSV file: OFA's `selected_cols` ("1,4,2") or a table of fields. Default: `DEFAULT_COLUMNS` of the
   * task.
   */
  readonly columns?: string | TsvColumns;
  /**
   * The folder of the pictures that a JSON file names. Default: the file's own folder. Names may not lead out of it.
   */
  readonly images?: string;
  /** The split of a Karpathy file. Default: all. */
  readonly split?: string;
  /** Called for each row that is skipped; without it the first bad row is thrown. */
  readonly onBadRow?: OnBadRow;
}

/**
 * Opens a data set: `.tsv` (OFA), `.jsonl` (plain or SNLI-VE), `.json` (COCO in Karpathy's splits), each also with
 * `.gz`, or a folder of pictures. Nothing is read before the first iteration, and then row by row; every iteration
 * starts from the beginning.
 * @throws UsageError `dataset-format`, `bad-columns`
 * @throws InputError `dataset-not-found`; while iterating `dataset-corrupt` (damaged gzip), `bad-json`, and `bad-row`
 *   where no `onBadRow` listens
 */
export function openDataset(file: string, options: OpenDatasetOptions): Dataset {
  const stat = fs.statSync(file, {throwIfNoEntry: false});
  if (stat === undefined) throw new InputError('dataset-not-found', `${file}: there is no such file or folder`);
  if (stat.isDirectory()) return dataset(() => readFolder(file));
  const {task, split, onBadRow} = options;
  const imagePath = insideFolder(options.images ?? path.dirname(file));
  switch (path.extname(file.replace(/\.gz$/i, '')).toLowerCase()) {
    case '.tsv': {
      const columns = typeof options.columns === 'string' ? parseColumns(options.columns, task) : options.columns;
      return dataset(() => readTsv(readChunks(file), {task, columns, onBadRow}));
    }
    case '.jsonl':
    case '.ndjson':
      return dataset(() => readJsonl(readChunks(file), {task, imagePath, onBadRow}));
    case '.json':
      return dataset(() => readKarpathy(readChunks(file), {imagePath, split, onBadRow}));
    default:
      throw new UsageError(
        'dataset-format',
        `${file}: a data set is .tsv, .jsonl or .json (also with .gz) or a folder of pictures`,
      );
  }
}

/**
 * The bytes of a file, unpacked if its name ends in .gz, chunk by chunk.
 * @throws InputError `dataset-corrupt`
 */
export async function* readChunks(file: string): ByteChunks & AsyncGenerator<Uint8Array> {
  const raw = fs.createReadStream(file, {highWaterMark: 1 << 18});
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

function dataset(rows: () => AsyncGenerator<DatasetItem>): Dataset {
  return {[Symbol.asyncIterator]: rows};
}

/** Resolves the pictures that rows name. A row must not be able to name any file of the machine. */
function insideFolder(folder: string): (name: string) => string {
  const root = path.resolve(folder);
  return (name) => {
    const file = path.resolve(root, name);
    const within = path.relative(root, file);
    if (within === '' || within === '..' || within.startsWith(`..${path.sep}`) || path.isAbsolute(within)) {
      throw new InputError(
        'image-outside',
        `the picture ${JSON.stringify(name.slice(0, 80))} lies outside the folder of the pictures`,
        {
          hint: 'Name a folder that holds all pictures (--images).',
        },
      );
    }
    return file;
  };
}

async function* readFolder(folder: string): AsyncGenerator<DatasetItem> {
  const names = (await fs.promises.readdir(folder, {withFileTypes: true}))
    .filter((entry) => !entry.isDirectory() && PICTURES.test(entry.name))
    .map((entry) => entry.name)
    .sort();
  for (const [i, name] of names.entries()) {
    yield {id: name, imageId: name, image: {path: path.join(folder, name)}, line: i + 1};
  }
}
