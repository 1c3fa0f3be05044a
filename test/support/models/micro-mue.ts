import {Tokenizer} from '../../../src/data/tokenizer.js';
import type {OfaModel} from '../../../src/models/ofa/model.js';
import {decodeImage} from '../../../src/node/picture/decode.js';
import {OfaPipeline} from '../../../src/tasks/ofa-processor.js';
import type {TaskAdapters} from '../../../src/tasks/pipeline.js';
import {microVocabulary} from '../data/vocabulary.js';

/** A micro model with its tokenizer and Node's picture decoders. Takes ownership of model and adapters. */
export function microMue(model: OfaModel, exitAdapters?: TaskAdapters): OfaPipeline {
  return new OfaPipeline({
    model,
    ...(exitAdapters && {exitAdapters}),
    tokenizer: new Tokenizer(microVocabulary()),
    pictures: {decode: (bytes) => decodeImage(bytes)},
  });
}
