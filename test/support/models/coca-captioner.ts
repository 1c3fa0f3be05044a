import {ClipTokenizer} from '../../../src/data/clip-tokenizer.js';
import {decodeImage} from '../../../src/node/picture/decode.js';
import {ContrastiveCaptioner} from '../../../src/tasks/contrastive-captioner.js';
import {cocaModel} from './coca-model.js';
import {clipMerges} from '../data/vocabulary.js';

/** A golden model, by default that with the whole vocabulary, and everything around it. The caller's to dispose. */
export async function cocaCaptioner(folder: 'micro' | 'fullvocab' = 'fullvocab'): Promise<ContrastiveCaptioner> {
  const model = await cocaModel(folder);
  const {vision, image_mean: mean, image_std: std, generation, end_id} = model.config;
  return new ContrastiveCaptioner({
    model,
    tokenizer: new ClipTokenizer({merges: clipMerges(), size: end_id + 1}),
    pictures: {decode: (bytes) => decodeImage(bytes)},
    square: {size: vision.image_size, mean, std},
    generation,
  });
}
