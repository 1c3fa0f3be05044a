import type {ExitPolicy, StackName} from '../../src/exit/policy.js';
import {cosine} from '../../src/exit/policies/cosine.js';
import {randomWeights} from '../../src/node/model/random-model.js';
import {findVocabulary, vocabularyTokenizer} from '../../src/node/model/vocabulary.js';
import type {OfaConfig} from '../../src/models/ofa/config.js';
import {OfaModel} from '../../src/models/ofa/model.js';
import type {CustomExit} from '../../src/tasks/exits.js';
import {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import type {RgbImage} from '../../src/data/image.js';

/** A model with random weights, made in memory, with OFA's own vocabulary. Runs on the current backend; the caller's to dispose. */
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

/** When the decoder may leave: at every step, or as in the authors' release not in the first third (ofa_mue 10.6). */
export type DecoderSteps = 'every' | 'release';

/**
 * Leaves at given depths, whatever it sees, and pays for looking: the similarity is measured after every layer, as MuE does. Fixed depths
 * with their honest cost; a stack left out runs every layer, measured or not as `similarity` would.
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
