import type {ExitPolicy, StackName} from '../../src/exit/policy.js';
import {cosine} from '../../src/exit/policies/cosine.js';
import {randomWeights} from '../../src/node/model/random-model.js';
import {findVocabulary, vocabularyTokenizer} from '../../src/node/model/vocabulary.js';
import type {OfaConfig} from '../../src/models/ofa/config.js';
import {OfaModel} from '../../src/models/ofa/model.js';
import type {CustomExit} from '../../src/tasks/exits.js';
import {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import type {RgbImage} from '../../src/data/image.js';

/**
 * A model with random weights, made in memory, with OFA's own vocabulary. Runs on the current backend; the caller's to
 * dispose.
 */
export async function randomMue(config: OfaConfig): Promise<OfaPipeline> {
  const tokenizer = vocabularyTokenizer(findVocabulary(undefined, '', undefined), config);
  const model = await OfaModel.load(config, randomWeights(config));
  return new OfaPipeline({
    model,
    tokenizer,
    pictures: {decode: () => Promise.reject(new Error('the bench has its pictures decoded'))},
  });
}

/** A picture of colourful noise. */
export function noise(side: number): RgbImage {
  let state = 1;
  const data = Uint8Array.from({length: side * side * 3}, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
  return {width: side, height: side, data};
}

/**
 * The steps at which the decoder may leave: all, or as in the authors' release not the first third
 * (docs/reference/ofa-mue.md 10.6).
 */
export type DecoderSteps = 'every' | 'release';

/**
 * Exits at given depths, whatever it sees, and pays for looking as MuE does: the similarity is measured after every
 * layer. A stack left out runs every layer, and is not looked at.
 */
export function forcedExits(
  depths: Readonly<Partial<Record<StackName, number>>>,
  steps: DecoderSteps = 'every',
): CustomExit {
  const policy: ExitPolicy = {
    name: 'forced',
    observe: async (before, after, {stack, layer, depth, step, maxSteps}) => {
      const until = depths[stack];
      if (until === undefined || layer === depth) return {exit: false};
      const score = await cosine(before, after);
      const early = steps === 'release' && step !== undefined && maxSteps !== undefined && step < (maxSteps + 1) / 3;
      return {exit: layer >= until && !early, score, threshold: -2};
    },
  };
  return {policy, mode: 'corrected', skippedKv: 'project'};
}
