import {recallAt, similarities} from '../../metrics/retrieval.js';
import {InputError, throwIfAborted} from '../../runtime/errors.js';
import type {AnswerOptions} from '../../tasks/generation-options.js';
import type {Embedder} from '../../tasks/embedding-pipeline.js';
import type {Output} from '../core/output.js';
import {readRowPicture} from '../../node/files/read-picture.js';
import {Hints} from '../core/inputs.js';
import {type ImageSet, openImages} from './embed-dataset.js';

export interface RecallOptions {
  /** The k of recall@k. */
  readonly ks: readonly number[];
  /** Only the first images. */
  readonly limit?: number;
  readonly answer: AnswerOptions;
  readonly out: Output;
}

/** Recall@k in both directions over images with their captions. */
export interface MeasuredRecall {
  readonly pictures: number;
  readonly captions: number;
  /** Rows that could not be used. */
  readonly skipped: number;
  readonly recall: ReturnType<typeof recallAt>;
}

/** @throws InputError `dataset-empty` where there is no image with a caption */
export async function measureRecall(
  model: Embedder,
  source: ImageSet,
  {ks, limit, answer, out}: RecallOptions,
): Promise<MeasuredRecall> {
  let skipped = 0;
  const hints = new Hints(out);
  const skip = (what: string, error: Error): void => {
    skipped++;
    out.warn(`row skipped: ${what}: ${error.message}`);
    hints.say(error);
  };
  // Rows of one image may follow each other, with a caption each.
  const places = new Map<string, number>();
  const images: Float32Array[] = [];
  const captions: Float32Array[] = [];
  /** For each caption, the place of its image. */
  const owner: number[] = [];
  const dataset = openImages(source, ({line, error}) => skip(`line ${line}`, error));
  for await (const {id, imageId, image, references = []} of dataset) {
    throwIfAborted(answer.signal);
    if (references.length === 0) continue;
    if (!places.has(imageId)) {
      if (limit !== undefined && places.size >= limit) continue;
      try {
        const {vector} = await model.embedPicture(readRowPicture(image), answer);
        places.set(imageId, images.length);
        images.push(vector);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        skip(id, error);
        continue;
      }
    }
    for (const {vector, notes} of await model.embedTexts(references, answer)) {
      for (const note of notes) out.warn(`warning: ${id}: ${note}`);
      captions.push(vector);
      owner.push(places.get(imageId)!);
    }
  }
  if (captions.length === 0)
    throw new InputError('dataset-empty', `${source.data}: there is no picture with a caption in it`);
  const size = captions[0]!.length;
  const values = new Float32Array(size * captions.length);
  for (const [i, vector] of captions.entries()) values.set(vector, i * size);
  const rows = images.map((image) => similarities(image, {size, count: captions.length, values}));
  return {pictures: images.length, captions: captions.length, skipped, recall: recallAt(rows, owner, ks)};
}
