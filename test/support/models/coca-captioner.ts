import {ClipTokenizer} from '../../../src/data/clip-tokenizer.js';
import {decodeImage} from '../../../src/node/picture/decode.js';
import {CocaPipeline} from '../../../src/tasks/coca-processor.js';
import {cocaModel} from './coca-model.js';
import {clipMerges} from '../data/vocabulary.js';

/** A golden model, by default that with the whole vocabulary, and everything around it. The caller's to dispose. */
export async function cocaCaptioner(folder: 'micro' | 'fullvocab' = 'fullvocab'): Promise<CocaPipeline> {
  const model = await cocaModel(folder);
  const {end_id} = model.config;
  return new CocaPipeline({
    model,
    tokenizer: new ClipTokenizer({merges: clipMerges(), size: end_id + 1}),
    pictures: {decode: (bytes) => decodeImage(bytes)},
  });
}
