import path from 'node:path';
import {badRow, type Dataset, type DatasetItem, type DatasetTask} from '../../data/dataset.js';
import {readLines} from '../../data/lines.js';
import {type ExportReport, exportDataset, type WrittenPictures} from './export.js';
import {openDataset, readChunks} from './open.js';
import {parseJson} from '../../runtime/parse-json.js';

/** A line of scenes_{val,test}.jsonl: how a picture was drawn, and how hard it and each of its texts is. */
interface Scene {
  readonly image_id: number;
  readonly difficulty: number;
  readonly setting: string;
  readonly curtain: boolean;
  readonly objects: readonly {readonly name: string}[];
  readonly ve: readonly {readonly id: string; readonly difficulty: number; readonly form: string}[];
  readonly vqa: readonly {
    readonly id: string;
    readonly question: string;
    readonly answer: string;
    readonly kind: string;
  }[];
}

type Extra = Readonly<Record<string, unknown>>;

/**
 * Writes the evaluation sets of the scenes (OFA's TSV, a picture in every row) as one compact folder: every picture
 * once, and JSON lines with the difficulty of the picture (`imageDifficulty`) and of the text (`difficulty`, `form`,
 * `kind`).
 * @param source a folder with caption_{val,test}.tsv, snli_ve_{calibration,test}.tsv.gz, vqa_test.tsv.gz,
 *   scenes_{val,test}.jsonl
 * @returns the amounts written, by data set
 */
export async function exportScenes(source: string, target: string): Promise<Readonly<Record<string, ExportReport>>> {
  const written: WrittenPictures = new Map();
  const open = (file: string, task: DatasetTask): Dataset => openDataset(path.join(source, file), {task});
  const scenes = {
    val: await readScenes(path.join(source, 'scenes_val.jsonl')),
    test: await readScenes(path.join(source, 'scenes_test.jsonl')),
  };
  const sets: Readonly<Record<string, Dataset>> = {
    'caption-val': withExtra(open('caption_val.tsv', 'caption'), pictureExtra(scenes.val)),
    'caption-test': withExtra(open('caption_test.tsv', 'caption'), pictureExtra(scenes.test)),
    'snli-ve-calibration': withExtra(open('snli_ve_calibration.tsv.gz', 'snli-ve'), hypothesisExtra(scenes.val)),
    'snli-ve-test': withExtra(open('snli_ve_test.tsv.gz', 'snli-ve'), hypothesisExtra(scenes.test)),
    // The questions on the validation pictures have no TSV file: they are in the scenes.
    'vqa-val': questions(open('caption_val.tsv', 'caption'), scenes.val),
    'vqa-test': withExtra(open('vqa_test.tsv.gz', 'vqa'), questionExtra(scenes.test)),
  };
  const reports: Record<string, ExportReport> = {};
  for (const [name, set] of Object.entries(sets)) reports[name] = await exportDataset(set, target, name, written);
  return reports;
}

async function readScenes(file: string): Promise<ReadonlyMap<string, Scene>> {
  const scenes = new Map<string, Scene>();
  for await (const {text, line} of readLines(readChunks(file))) {
    const scene = parseScene(text, line);
    scenes.set(String(scene.image_id), scene);
  }
  return scenes;
}

function parseScene(text: string, line: number): Scene {
  try {
    return parseJson(text) as Scene;
  } catch (cause) {
    throw badRow(line, `not JSON: ${(cause as Error).message}`, cause);
  }
}

async function* withExtra(rows: Dataset, extra: (item: DatasetItem) => Extra): AsyncGenerator<DatasetItem> {
  for await (const item of rows) yield {...item, extra: extra(item)};
}

function pictureExtra(scenes: ReadonlyMap<string, Scene>): (item: DatasetItem) => Extra {
  return ({imageId}) => {
    const scene = scenes.get(imageId);
    return {imageDifficulty: scene?.difficulty, setting: scene?.setting, curtain: scene?.curtain};
  };
}

function hypothesisExtra(scenes: ReadonlyMap<string, Scene>): (item: DatasetItem) => Extra {
  return ({id, imageId}) => {
    const scene = scenes.get(imageId);
    const hypothesis = scene?.ve.find((entry) => entry.id === id);
    return {imageDifficulty: scene?.difficulty, difficulty: hypothesis?.difficulty, form: hypothesis?.form};
  };
}

function questionExtra(scenes: ReadonlyMap<string, Scene>): (item: DatasetItem) => Extra {
  return ({id, imageId}) => {
    const scene = scenes.get(imageId);
    return {imageDifficulty: scene?.difficulty, kind: scene?.vqa.find((entry) => entry.id === id)?.kind};
  };
}

async function* questions(pictures: Dataset, scenes: ReadonlyMap<string, Scene>): AsyncGenerator<DatasetItem> {
  for await (const {imageId, image, objects, line} of pictures) {
    const scene = scenes.get(imageId);
    for (const {id, question, answer, kind} of scene?.vqa ?? []) {
      const extra = {imageDifficulty: scene?.difficulty, kind};
      yield {id, imageId, image, text: question, answers: new Map([[answer, 1]]), objects, extra, line};
    }
  }
}
