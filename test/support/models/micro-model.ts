import {MemoryAccess} from '../data/memory-access.js';
import {SafetensorsFile} from '../../../src/checkpoint/safetensors.js';
import {importOfa} from '../../../src/models/ofa/import/import.js';
import {OfaModel} from '../../../src/models/ofa/model.js';
import {importedSource} from './imported-source.js';
import {golden, goldenBytes} from '../golden/golden.js';

interface Micro {
  readonly D: number;
  readonly F: number;
  readonly H: number;
  readonly encoder_layers: number;
  readonly decoder_layers: number;
  readonly code_dict_size: number;
  readonly num_bins: number;
}

/**
 * The goldens' micro model, converted in memory, as the plain model or as MuE.
 * @param unfolded   with batch norms that can be trained
 */
export async function microModel(kind: 'plain' | 'mue', unfolded = false): Promise<OfaModel> {
  const micro = golden<Micro>('ofa_micro.json');
  using checkpoint = await SafetensorsFile.open(
    new MemoryAccess('ofa_micro.safetensors', goldenBytes('ofa_micro.safetensors')),
  );
  const imported = importOfa(checkpoint, {
    model: {...flags(micro), train_mue: kind === 'mue'},
    task: {patch_image_size: 64},
  });
  const source = importedSource(checkpoint, imported.weights);
  return await OfaModel.load(
    {...imported.config, train_mue: kind === 'mue', mue_image_rel_bias: kind === 'plain'},
    source,
    unfolded,
  );
}

function flags({
  D,
  F,
  H,
  encoder_layers,
  decoder_layers,
  code_dict_size,
  num_bins,
}: Micro): Record<string, number | boolean> {
  const side = (name: string): Record<string, number | boolean> => ({
    [`${name}_embed_dim`]: D,
    [`${name}_ffn_embed_dim`]: F,
    [`${name}_attention_heads`]: H,
    [`${name}_layers`]: name === 'encoder' ? encoder_layers : decoder_layers,
    [`${name}_normalize_before`]: true,
  });
  return {
    ...side('encoder'),
    ...side('decoder'),
    layernorm_embedding: true,
    patch_layernorm_embedding: true,
    code_layernorm_embedding: true,
    add_type_embedding: true,
    scale_attn: true,
    scale_fc: true,
    scale_heads: true,
    scale_resids: false,
    disable_entangle: true,
    entangle_position_embedding: false,
    share_all_embeddings: true,
    share_decoder_input_output_embed: true,
    no_scale_embedding: true,
    max_source_positions: 1024,
    max_target_positions: 1024,
    token_bucket_size: 256,
    image_bucket_size: 42,
    attn_scale_factor: 2,
    code_image_size: 128,
    code_dict_size,
    num_bins,
  };
}
