import type {ModelFamily} from '../family.js';
import {COCA_ARCHITECTURES, type CocaConfig, cocaConfigSchema} from './config.js';
import {exportCoca} from './export.js';
import {importCoca, isCoca} from './import/import.js';
import {partOf} from './import/names.js';
import {CocaModel, cocaWeights} from './model.js';

/** CoCa as open_clip has it. */
export const cocaFamily: ModelFamily<CocaConfig> = {
  name: 'coca',
  configSchema: cocaConfigSchema,
  architectures: Object.keys(COCA_ARCHITECTURES),
  recognises: isCoca,
  plan: (checkpoint, cfg, architecture) => importCoca(checkpoint, cfg, architecture),
  weights: cocaWeights,
  partOf,
  describe: ({vision, text, multimodal, embed_dim}) => {
    const pooler = vision.pooler ? `${vision.pooler.queries} queries` : 'no pooler';
    const layers = `${vision.layers} + ${text.layers} + ${multimodal.layers} layers`;
    return `CoCa; vision width ${vision.width}, patches of ${vision.patch_size} px, ${pooler}, text width ${text.width}, ${layers}, embeddings of ${embed_dim}, ${text.vocab_size.toLocaleString('en-US')} ids, ${vision.image_size} px`;
  },
  vocabulary: ({text}) => ({kind: 'merges', vocab_size: text.vocab_size}),
  export: exportCoca,
  load: (config, weights) => CocaModel.load(config, weights),
};
