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

/** Norms of a layer in the numbering of fairseq before 0.7. */
const OLD_NORMS: Readonly<Record<'encoder' | 'decoder', readonly string[]>> = {
  encoder: ['self_attn_layer_norm', 'final_layer_norm'],
  decoder: ['self_attn_layer_norm', 'encoder_attn_layer_norm', 'final_layer_norm'],
};

/** fairseq's name of a weight in a Hugging Face-style file, or in one of an early fairseq; other names stay. */
export function toFairseqName(name: string): string {
  return renamed(name, (stack, part, rest) => {
    const numbered = part === 'layer_norms' ? /^\.(\d)(\..*)$/.exec(rest) : null;
    const norm = numbered ? OLD_NORMS[stack][Number(numbered[1])] : undefined;
    if (norm !== undefined) return `${norm}${numbered![2]}`;
    return `${HF_PARTS[stack].find(([, huggingFace]) => huggingFace === part)?.[0] ?? part}${rest}`;
  });
}

/** A weight's name in a Hugging Face-style file, of fairseq's. */
export function toHuggingFaceName(name: string): string {
  return renamed(
    name,
    (stack, part, rest) => `${HF_PARTS[stack].find(([fairseq]) => fairseq === part)?.[1] ?? part}${rest}`,
  );
}

/** Renames what follows a layer's number: the first part of a name, and the rest with its dot. */
function renamed(name: string, rename: (stack: 'encoder' | 'decoder', part: string, rest: string) => string): string {
  const match = /^(encoder|decoder)(\.layers\.\d+\.)(\w+)(.*)$/.exec(name);
  if (!match) return name;
  const [, stack, layer, part, rest] = match as unknown as [string, 'encoder' | 'decoder', string, string, string];
  return `${stack}${layer}${rename(stack, part, rest)}`;
}

/** fairseq's names of queries, keys and values, in this order, that early fairseq kept in one tensor; else undefined. */
export function fusedNames(name: string): readonly [string, string, string] | undefined {
  const match = /^(.*_attn)\.in_proj_(weight|bias)$/.exec(name);
  if (!match) return undefined;
  const [, attention, kind] = match;
  return [`${attention}.q_proj.${kind}`, `${attention}.k_proj.${kind}`, `${attention}.v_proj.${kind}`];
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
