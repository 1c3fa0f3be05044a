import type {Dataset, DatasetItem} from '../data/dataset.js';
import {recallAt, similarities} from '../metrics/retrieval.js';
import {InputError, throwIfAborted} from '../runtime/errors.js';
import type {Embedder} from '../tasks/embedding-pipeline.js';
import type {AnswerOptions} from '../tasks/generation-options.js';
import type {Picture} from '../tasks/pictures.js';

export interface RecallOptions {
  /** The k of recall@k. */
  readonly ks: readonly number[];
  /** Only the first images. */
  readonly limit?: number;
  readonly answer: AnswerOptions;
  readonly read: (item: DatasetItem) => Picture | Promise<Picture>;
  /** Called for a row whose picture cannot be used. */
  readonly onFailed: (item: DatasetItem, error: InputError) => void;
  /** Called with what a model says about a text that it embedded. */
  readonly onNote?: (item: DatasetItem, note: string) => void;
}

/** Recall@k in both directions over images with their captions. */
export interface DatasetRecall {
  readonly pictures: number;
  readonly captions: number;
  readonly recall: ReturnType<typeof recallAt>;
}

/** @throws AbortError; InputError `dataset-empty` where there is no image with a caption */
export async function datasetRecall(
  model: Embedder,
  dataset: Dataset,
  {ks, limit, answer, read, onFailed, onNote}: RecallOptions,
): Promise<DatasetRecall> {
  // Rows of one image may follow each other, with a caption each.
  const places = new Map<string, number>();
  const images: Float32Array[] = [];
  const captions: Float32Array[] = [];
  /** For each caption, the place of its image. */
  const owner: number[] = [];
  for await (const item of dataset) {
    throwIfAborted(answer.signal);
    const {imageId, references = []} = item;
    if (references.length === 0) continue;
    if (!places.has(imageId)) {
      if (limit !== undefined && places.size >= limit) continue;
      try {
        const {vector} = await model.embedPicture(await read(item), answer);
        places.set(imageId, images.length);
        images.push(vector);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        onFailed(item, error);
        continue;
      }
    }
    for (const {vector, notes} of await model.embedTexts(references, answer)) {
      for (const note of notes) onNote?.(item, note);
      captions.push(vector);
      owner.push(places.get(imageId)!);
    }
  }
  if (captions.length === 0) throw new InputError('dataset-empty', 'there is no picture with a caption in it');
  const size = captions[0]!.length;
  const values = new Float32Array(size * captions.length);
  for (const [i, vector] of captions.entries()) values.set(vector, i * size);
  const rows = images.map((image) => similarities(image, {size, count: captions.length, values}));
  return {pictures: images.length, captions: captions.length, recall: recallAt(rows, owner, ks)};
}
