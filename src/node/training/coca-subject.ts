import * as tf from '@tensorflow/tfjs';
import {initialCocaWeights} from '../../models/coca/initial-weights.js';
import type {CocaModel} from '../../models/coca/model.js';
import {InputError, throwIfAborted} from '../../runtime/errors.js';
import type {CocaPipeline} from '../../tasks/coca-processor.js';
import {cocaExample} from '../../training/coca/examples.js';
import {type CocaExample, CocaObjective, type CocaSettings} from '../../training/coca/objective.js';
import {KeptPictures} from './kept-pictures.js';
import {type TrainingData, type TrainingSubject, trainingSubject} from './subject.js';

/** Rows that a validation answers together. */
const TOGETHER = 16;

/** Where the weights come from that the first update finds: the model's folder, or nowhere. */
export const INITIAL_WEIGHTS = ['model', 'random'] as const;
export type InitialWeights = (typeof INITIAL_WEIGHTS)[number];

/** How a CoCa learns. */
export interface CocaTraining extends CocaSettings {
  readonly init: InitialWeights;
}

/**
 * A CoCa, all of which learns from pictures and their captions.
 * @param pipeline   borrowed, and its model
 * @param seed       of the first weights, and of everything that is drawn
 * @throws InputError `label-missing`, `image-unreadable` and others for a row that cannot be used; AbortError
 */
export async function cocaSubject(
  pipeline: CocaPipeline,
  model: CocaModel,
  {rows, limit = Number.POSITIVE_INFINITY, decode, signal, onBadRow, onProgress}: TrainingData,
  {init, ...settings}: CocaTraining,
  seed: number,
): Promise<TrainingSubject> {
  const {config, module} = model;
  const pictures = new KeptPictures(config);
  const examples: CocaExample[] = [];
  let index = 0;
  for await (const {image, line, references} of rows) {
    if (index >= limit) break;
    throwIfAborted(signal);
    try {
      const example = cocaExample(pipeline, config, {index, references});
      await pictures.add(example.key, () => decode(image));
      examples.push(example);
    } catch (error) {
      if (!onBadRow || !(error instanceof InputError)) throw error;
      onBadRow({line, error});
    }
    onProgress?.(++index);
  }
  const fresh = init === 'random' ? initialCocaWeights(config, seed) : undefined;
  if (fresh)
    for (const weight of module.weights) {
      const start = tf.tensor(fresh.get(weight.originalName)!.slice(), weight.shape as number[]);
      weight.write(start);
      start.dispose();
    }
  const pixelsOf: ConstructorParameters<typeof CocaObjective>[1] = (some, crops) => pictures.pixels(some, crops);
  return trainingSubject(new CocaObjective(module, pixelsOf, settings, seed), examples, {
    fresh,
    validated: () => ({
      pipeline,
      embedder: pipeline,
      stack: 'vision',
      batch: TOGETHER,
      refresh: () => model.weightsChanged(),
      [Symbol.dispose]: () => undefined,
    }),
  });
}
