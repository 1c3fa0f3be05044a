/** The one name under which the tied matrix is kept, and its copies (docs/reference/ofa-mue.md 5.2). */
export const TIED_EMBEDDING = 'encoder.embed_tokens.weight';
export const TIED_COPIES: readonly string[] = ['decoder.embed_tokens.weight', 'decoder.output_projection.weight'];

/**
 * Parts of names that differ in Hugging Face-style files, per stack, since attn_ln has two names
 * (docs/reference/ofa-mue.md 5.4).
 */
const HF_PARTS: Readonly<Record<'encoder' | 'decoder', readonly (readonly [fairseq: string, huggingFace: string])[]>> =
  {
    encoder: [
      ['attn_ln', 'self_attn_mid_layer_norm'],
      ['ffn_layernorm', 'ffn_layer_norm'],
    ],
    decoder: [
      ['self_attn_ln', 'self_attn_mid_layer_norm'],
      ['encoder_attn', 'cross_attn'],
      ['encoder_attn_layer_norm', 'cross_attn_layer_norm'],
      ['cross_attn_ln', 'cross_attn_mid_layer_norm'],
      ['ffn_layernorm', 'ffn_layer_norm'],
    ],
  };

/** fairseq's name of a weight in a Hugging Face-style file; other names stay. */
export function fromHuggingFaceName(name: string): string {
  return renamed(name, (parts, part) => parts.find(([, huggingFace]) => huggingFace === part)?.[0]);
}

/** A weight's name in a Hugging Face-style file, of fairseq's. */
export function toHuggingFaceName(name: string): string {
  return renamed(name, (parts, part) => parts.find(([fairseq]) => fairseq === part)?.[1]);
}

type Parts = (typeof HF_PARTS)['encoder'];

function renamed(name: string, rename: (parts: Parts, part: string) => string | undefined): string {
  const match = /^(encoder|decoder)(\.layers\.\d+\.)(\w+)(.*)$/.exec(name);
  if (!match) return name;
  const [, stack, layer, part, rest] = match as unknown as [string, 'encoder' | 'decoder', string, string, string];
  return `${stack}${layer}${rename(HF_PARTS[stack], part) ?? part}${rest}`;
}

/** Why an entry of a checkpoint is not a weight of the model; null if it should be one. */
export function ignoredReason(name: string): string | null {
  if (TIED_COPIES.includes(name)) return `tied to ${TIED_EMBEDDING}`;
  if (/^(encoder|decoder)\.version$/.test(name)) return "fairseq's version mark";
  if (/\.(token|image)_rp_bucket$/.test(name)) return 'index table, computed from the configuration';
  if (name === 'decoder.image_position_idx') return 'index table, computed from the configuration';
  if (/\.num_batches_tracked$/.test(name)) return 'training statistic';
  if (/(^|\.)classification_heads\./.test(name)) return 'classification head, unused by every task';
  return null;
}

export type ModelPart =
  | 'token embedding'
  | 'resnet'
  | 'image projection'
  | 'positions'
  | 'relative position tables'
  | 'encoder layers'
  | 'decoder layers'
  | 'norms and types';

/** The part of the model that a weight (under fairseq's name) belongs to. */
export function partOf(name: string): ModelPart {
  if (name === TIED_EMBEDDING || TIED_COPIES.includes(name)) return 'token embedding';
  if (name.startsWith('encoder.embed_images.')) return 'resnet';
  if (name.startsWith('encoder.image_proj.')) return 'image projection';
  if (/_rel_pos_table_list\./.test(name)) return 'relative position tables';
  if (/\.(embed_positions|embed_image_positions|pos_ln|image_pos_ln|\w*pos_[qk]_linear)\./.test(name))
    return 'positions';
  if (name.startsWith('encoder.layers.')) return 'encoder layers';
  return name.startsWith('decoder.layers.') ? 'decoder layers' : 'norms and types';
}
