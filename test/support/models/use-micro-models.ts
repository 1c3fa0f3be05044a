import type {OfaModel} from '../../../src/models/ofa/model.js';
import type {OfaPipeline} from '../../../src/tasks/ofa-processor.js';
import {microModel} from './micro-model.js';
import {microMue} from './micro-mue.js';
import {type RememberedFeatures, rememberFeatures} from './remember-features.js';

type Kind = 'plain' | 'mue';

/** The models of a suite, filled before its first test. */
export interface MicroModels {
  readonly models: Record<Kind, OfaModel>;
  /** The models with tokenizer and decoders around them. */
  readonly mues: Record<Kind, OfaPipeline>;
}

/** The micro model as the plain one and as MuE, for the suite that calls it; their ResNet runs once a picture. */
export function useMicroModels(): MicroModels {
  const used = {models: {}, mues: {}} as MicroModels;
  let remembered: RememberedFeatures;
  beforeAll(async () => {
    for (const kind of ['plain', 'mue'] as const) {
      used.models[kind] = await microModel(kind);
      used.mues[kind] = microMue(used.models[kind]);
    }
    remembered = rememberFeatures(used.models.plain, used.models.mue);
  });
  afterAll(() => {
    for (const owned of [remembered, used.mues.plain, used.mues.mue]) owned[Symbol.dispose]();
  });
  return used;
}
