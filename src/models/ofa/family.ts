import type {ModelFamily} from '../family.js';
import {type OfaConfig, ofaConfigSchema} from './config.js';
import {exportOfa} from './export.js';
import {checkTied, importOfa, isOfa} from './import/import.js';
import {partOf, TIED_EMBEDDING} from './import/names.js';
import {OfaModel, ofaWeights} from './model.js';

/** OFA, plain or with MuE. */
export const ofaFamily: ModelFamily<OfaConfig> = {
  name: 'ofa',
  configSchema: ofaConfigSchema,
  architectures: [],
  recognises: isOfa,
  plan: (checkpoint, cfg) => importOfa(checkpoint, cfg),
  check: async (checkpoint, {name}, values) => {
    if (name === TIED_EMBEDDING) await checkTied(checkpoint, values);
  },
  weights: ofaWeights,
  partOf,
  describe: (config) => {
    const {encoder_layers: encoder, decoder_layers: decoder, d_model: size, encoder_attention_heads: heads} = config;
    const kind = config.train_mue
      ? `MuE, image relative bias ${config.mue_image_rel_bias ? 'on' : 'off'}`
      : 'plain OFA';
    return `${kind}; width ${size}, ${heads} heads, ${encoder} + ${decoder} layers, ResNet ${config.resnet_layers.join(', ')}, ${config.vocab_size.toLocaleString('en-US')} ids, ${config.patch_image_size} px`;
  },
  vocabulary: ({vocab_size, code_dict_size, num_bins}) => ({kind: 'dictionary', vocab_size, code_dict_size, num_bins}),
  export: exportOfa,
  load: (config, weights) => OfaModel.load(config, weights),
};
