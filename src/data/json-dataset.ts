import {InputError, UsageError} from '../runtime/errors.js';
import {type CocoOptions, readCocoCaptions, readVqa} from './coco.js';
import type {DatasetItem, DatasetTask} from './dataset.js';
import {jsonMembers} from './json-array.js';
import {readKarpathy} from './karpathy.js';
import type {ByteChunks} from './lines.js';

/** The options of `readJson`. */
export interface JsonDatasetOptions extends CocoOptions {
  readonly task: DatasetTask;
  /** The split of a Karpathy file. Default: all. */
  readonly split?: string;
}

/**
 * The rows of a JSON object that a data set is published as: COCO captions in Karpathy's splits, COCO's own
 * annotations, VQA v2. They are told apart by their first entry.
 * @param open    the bytes of the file from the beginning
 * @throws InputError `bad-json` if it is none of them; `bad-row` where no `onBadRow` listens
 * @throws UsageError `dataset-task`, `unknown-split`, `split-unused`, `annotations-unused`
 */
export async function* readJson(open: () => ByteChunks, options: JsonDatasetOptions): AsyncGenerator<DatasetItem> {
  const kind = await kindOf(open());
  const {task, split, annotations, findPicture} = options;
  if (task !== 'caption' && kind !== 'vqa')
    throw new UsageError('dataset-task', `the file holds captions, but --task ${task} needs texts to ask`);
  if (split !== undefined && kind !== 'karpathy') throw splitUnused();
  if (annotations !== undefined && kind !== 'vqa') throw annotationsUnused();
  if (kind === 'vqa') yield* readVqa(open, options);
  else if (kind === 'coco') yield* readCocoCaptions(open, options);
  else yield* readKarpathy(open(), {...options, imagePath: (name) => findPicture([name])});
}

/** The error for a split of a file that has none. */
export function splitUnused(): UsageError {
  return new UsageError('split-unused', "--split is for COCO captions in Karpathy's splits: this data set has none");
}

/** The error for annotations beside a file that needs none. */
export function annotationsUnused(): UsageError {
  return new UsageError('annotations-unused', '--annotations is for the questions of VQA v2 (.json)');
}

async function kindOf(chunks: ByteChunks): Promise<'karpathy' | 'coco' | 'vqa'> {
  for await (const {key, value} of jsonMembers(chunks, {arrays: ['images', 'questions', 'annotations']})) {
    const has = (name: string): boolean => typeof value === 'object' && value !== null && Object.hasOwn(value, name);
    if (key === 'questions') return 'vqa';
    if (key === 'images' && !has('file_name')) return 'karpathy';
    if (key === 'images' || has('caption')) return 'coco';
    if (has('question_id'))
      throw new InputError('bad-json', 'the file holds the answers of VQA v2, without the questions', {
        hint: 'Name the file of the questions as the data set, and this one with --annotations.',
      });
  }
  throw new InputError('bad-json', 'there is no array "images" or "questions"', {
    hint: "COCO captions (Karpathy's or COCO's own) and VQA v2 are read from .json files, all else from JSON lines.",
  });
}
