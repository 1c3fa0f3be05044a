import {createHash} from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import type {Dataset, DatasetItem} from '../../data/dataset.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {readRowPicture} from '../files/read-picture.js';
import {cannotWrite} from '../runs/write-atomic.js';

/** The amounts that `exportDataset` wrote. */
export interface ExportReport {
  readonly rows: number;
  /** The number of pictures written now, without those that an earlier data set wrote to the same folder. */
  readonly pictures: number;
  /** The bytes of these pictures. */
  readonly bytes: number;
}

/** The pictures written so far, by image id. Each data set that shares the folder gets the same map. */
export type WrittenPictures = Map<string, {readonly file: string; readonly sha256: string}>;

/**
 * Writes a data set as a folder: `images/<image id>.<ext>`, the bytes unchanged and each picture once, and
 * `<name>.jsonl`, which `openDataset` reads. The JSON lines file appears when it is complete.
 * @param written read and extended
 * @param name    of the JSON lines file, without its ending
 * @throws InputError `image-conflict` if two rows give different pictures for one image id; `cannot-write`,
 *   `image-unreadable`
 * @throws UsageError `name-invalid` if the name would be a path or no name of a file
 */
export async function exportDataset(
  dataset: Dataset,
  folder: string,
  name: string,
  written: WrittenPictures = new Map(),
): Promise<ExportReport> {
  checkName(name);
  const target = path.join(folder, `${name}.jsonl`);
  const partial = `${target}.partial`;
  let [rows, pictures, bytes] = [0, 0, 0];
  const makePlace = async (): Promise<fs.FileHandle> => {
    await fs.mkdir(path.join(folder, 'images'), {recursive: true});
    return await fs.open(partial, 'w');
  };
  const out = await makePlace().catch((error: unknown) => {
    throw cannotWrite(folder, error);
  });
  try {
    for await (const item of dataset) {
      const picture = readRowPicture(item.image);
      const sha256 = createHash('sha256').update(picture).digest('hex');
      const known = written.get(item.imageId);
      if (known !== undefined && known.sha256 !== sha256) {
        throw new InputError(
          'image-conflict',
          `line ${item.line}: another picture with the image id ${JSON.stringify(item.imageId)} was there before`,
        );
      }
      const file = known?.file ?? `images/${fileName(item.imageId)}.${extension(picture)}`;
      if (known === undefined) {
        await fs.writeFile(path.join(folder, file), picture);
        written.set(item.imageId, {file, sha256});
        pictures++;
        bytes += picture.length;
      }
      await out.write(`${JSON.stringify(toRow(item, file))}\n`);
      rows++;
    }
    await out.close();
    await fs.rename(partial, target);
  } catch (error) {
    await out.close();
    await fs.rm(partial, {force: true});
    throw cannotWrite(target, error);
  }
  return {rows, pictures, bytes};
}

function toRow(item: DatasetItem, image: string): object {
  const {id, imageId, text, premise, references, label, answers, objects, extra} = item;
  return {id, imageId, image, text, premise, references, label, answers: answers && [...answers], objects, ...extra};
}

/** A name with a separator would be written elsewhere than in the folder. */
function checkName(name: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: file systems and terminals obey them
  if (name !== '' && name.length <= 200 && !/[\\/\0-\x1f\x7f]/.test(name)) return;
  throw new UsageError('name-invalid', `${JSON.stringify(name.slice(0, 40))} is no name for a file of rows`, {
    hint: 'Name it in at most 200 characters, without slashes and control characters.',
  });
}

/** The file name of an image id. It is reversible, so that two ids never meet, and never a path. */
function fileName(imageId: string): string {
  const name = encodeURIComponent(imageId).replace(/[.*!'()~]/g, (char) =>
    char === '.' ? '%2E' : `%${char.charCodeAt(0).toString(16)}`,
  );
  if (name === '' || name.length > 200)
    throw new InputError('image-id', `the image id ${JSON.stringify(imageId.slice(0, 40))} is no name for a file`);
  return name;
}

function extension(picture: Uint8Array): string {
  if (picture[0] === 0xff && picture[1] === 0xd8) return 'jpg';
  if (picture[0] === 0x89 && picture[1] === 0x50) return 'png';
  if (picture[0] === 0x47 && picture[1] === 0x49) return 'gif';
  if (picture[0] === 0x42 && picture[1] === 0x4d) return 'bmp';
  if (picture[0] === 0x52 && picture[8] === 0x57) return 'webp';
  throw new InputError('image-format', 'the picture is neither JPEG, PNG, GIF, BMP nor WebP');
}
