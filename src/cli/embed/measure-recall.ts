import {type DatasetRecall, datasetRecall} from '../../evaluation/recall.js';
import {readRowPicture} from '../../node/files/read-picture.js';
import {InputError} from '../../runtime/errors.js';
import type {Embedder} from '../../tasks/embedding-pipeline.js';
import type {AnswerOptions} from '../../tasks/generation-options.js';
import {Hints} from '../core/inputs.js';
import type {Output} from '../core/output.js';
import {type ImageSet, openImages} from './embed-dataset.js';

export interface MeasureRecallOptions {
  /** The k of recall@k. */
  readonly ks: readonly number[];
  /** Only the first images. */
  readonly limit?: number;
  readonly answer: AnswerOptions;
  readonly out: Output;
}

/** Recall@k in both directions over images with their captions. */
export interface MeasuredRecall extends DatasetRecall {
  /** Rows that could not be used. */
  readonly skipped: number;
}

/** @throws InputError `dataset-empty` where there is no image with a caption */
export async function measureRecall(
  model: Embedder,
  source: ImageSet,
  {ks, limit, answer, out}: MeasureRecallOptions,
): Promise<MeasuredRecall> {
  let skipped = 0;
  const hints = new Hints(out);
  const skip = (what: string, error: Error): void => {
    skipped++;
    out.warn(`row skipped: ${what}: ${error.message}`);
    hints.say(error);
  };
  const dataset = openImages(source, ({line, error}) => skip(`line ${line}`, error));
  try {
    const {pictures, captions, recall} = await datasetRecall(model, dataset, {
      ks,
      limit,
      answer,
      read: ({image}) => readRowPicture(image),
      onFailed: ({id}, error) => skip(id, error),
      onNote: ({id}, note) => out.warn(`warning: ${id}: ${note}`),
    });
    return {pictures, captions, skipped, recall};
  } catch (error) {
    if (error instanceof InputError && error.code === 'dataset-empty')
      throw new InputError('dataset-empty', `${source.data}: ${error.message}`);
    throw error;
  }
}
