import type {PlainValue} from '../../checkpoint/checkpoint.js';
import type {StoredWeight} from '../../nn/block.js';
import type {ExportFormat} from '../export-formats.js';
import {type ModelExport, refuseExport} from '../export.js';
import type {CocaConfig} from './config.js';
import {sourcesOf} from './import/names.js';
import {cocaWeights} from './model.js';

/** CoCa in open_clip's files: `open_clip_config.json` and the weights beside it, as on a hub or in a `local-dir:`. */
export function exportCoca(config: CocaConfig, format: ExportFormat): ModelExport {
  if (format === 'hf') refuseExport('hf', 'transformers has no CoCa');
  return {
    file: format === 'pt' ? 'open_clip_pytorch_model.bin' : 'open_clip_model.safetensors',
    tensors: exportedTensors(config),
    tied: new Map(),
    settings: {file: 'open_clip_config.json', json: openClipSettings(config)},
    notes: [],
  };
}

/** Every tensor of open_clip's, with the weights that are fused in it, by their rows. */
function exportedTensors(config: CocaConfig): ModelExport['tensors'] {
  const weights = cocaWeights(config);
  const shapes = new Map(weights.map(({name, shape}) => [name, shape]));
  const tensors = new Map<string, {readonly weight: StoredWeight; readonly first: number}[]>();
  for (const weight of weights) {
    const {name, rows} = sourcesOf(weight, shapes)[0]!;
    tensors.set(name, [...(tensors.get(name) ?? []), {weight, first: rows?.first ?? 0}]);
  }
  return [...tensors].map(([name, parts]) => {
    return {name, content: parts.sort((a, b) => a.first - b.first).map(({weight}) => weight)};
  });
}

function openClipSettings(config: CocaConfig): PlainValue {
  const {vision, text, multimodal, embed_dim, activation, image_mean, image_std} = config;
  const {pooler} = vision;
  const words = {context_length: text.context_length, vocab_size: text.vocab_size, width: text.width};
  return {
    model_cfg: {
      embed_dim,
      vision_cfg: {
        image_size: vision.image_size,
        layers: vision.layers,
        width: vision.width,
        head_width: vision.width / vision.heads,
        mlp_ratio: vision.mlp_width / vision.width,
        patch_size: vision.patch_size,
        attentional_pool: pooler !== null,
        ...(pooler ? {attn_pooler_queries: pooler.queries, attn_pooler_heads: pooler.heads} : {}),
        output_tokens: true,
      },
      text_cfg: {
        ...words,
        heads: text.heads,
        layers: text.layers,
        mlp_ratio: text.mlp_width / text.width,
        embed_cls: true,
        output_tokens: true,
      },
      multimodal_cfg: {
        ...words,
        heads: multimodal.heads,
        layers: multimodal.layers,
        mlp_ratio: multimodal.mlp_width / text.width,
        ...(pooler ? {attn_pooler_heads: pooler.heads} : {}),
      },
      quick_gelu: activation === 'quick_gelu',
      custom_text: true,
    },
    preprocess_cfg: {
      size: [vision.image_size, vision.image_size],
      mode: 'RGB',
      mean: image_mean,
      std: image_std,
      interpolation: 'bicubic',
      resize_mode: 'shortest',
      fill_color: 0,
    },
  };
}
