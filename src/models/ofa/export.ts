import type {PlainValue} from '../../checkpoint/checkpoint.js';
import {fromPlain, namespace, type Pickled} from '../../checkpoint/pickle-writer.js';
import type {StoredWeight} from '../../nn/block.js';
import type {ExportFormat} from '../export-formats.js';
import {type ExportedTensor, type ModelExport, refuseExport} from '../export.js';
import {
  IMAGENET_MEAN,
  IMAGENET_STD,
  OFA_DEFAULTS,
  OFA_SIZES,
  type OfaConfig,
  ofaConfigOfSize,
  RESNET_LAYERS,
  SYNC_BATCH_NORM_EPSILON,
} from './config.js';
import {REQUIRED_SETTINGS} from './import/config.js';
import {TIED_COPIES, TIED_EMBEDDING, toHuggingFaceName} from './import/names.js';
import {ofaWeights} from './model.js';

type Fields = Readonly<Record<string, PlainValue>>;

/** OFA in its authors' files: a trainer's checkpoint, its weights alone, or the folder of their port to transformers. */
export function exportOfa(config: OfaConfig, format: ExportFormat): ModelExport {
  const tied = new Map(TIED_COPIES.map((copy) => [copy, TIED_EMBEDDING]));
  if (format === 'hf') {
    const json = huggingFaceSettings(config);
    const tensors = ofaWeights(config).map((weight) => exported(weight, toHuggingFaceName(weight.name)));
    const notes = ["the port's tokenizer reads vocab.json and merges.txt: take those of the authors' published models"];
    return {file: 'pytorch_model.bin', tensors, tied, settings: {file: 'config.json', json}, notes};
  }
  const tensors = [
    ...ofaWeights(config).flatMap((weight) => [exported(weight), ...batchesTracked(weight)]),
    ...['encoder', 'decoder'].map((stack): ExportedTensor => {
      return {name: `${stack}.version`, content: {dtype: 'F32', shape: [1], value: 3}};
    }),
  ];
  const settings = fairseqSettings(config);
  const shared = {tensors, tied, notes: notes(config)};
  return format === 'pt'
    ? {file: 'checkpoint.pt', ...shared, around: (weights) => trainersCheckpoint(weights, settings)}
    : {file: 'model.safetensors', ...shared, settings: {file: 'config.json', json: {...settings}}};
}

const exported = (weight: StoredWeight, name = weight.name): ExportedTensor => ({name, content: [weight]});

/** PyTorch's count of a batch norm's updates, which nothing reads; it stands behind the running variance. */
function batchesTracked({name}: StoredWeight): readonly ExportedTensor[] {
  if (!name.endsWith('.running_var')) return [];
  const counter = name.replace(/running_var$/, 'num_batches_tracked');
  return [{name: counter, content: {dtype: 'I64', shape: [], value: 0}}];
}

function notes({train_mue, mue_image_rel_bias, resnet_layers}: OfaConfig): string[] {
  return [
    ...(resnetType(resnet_layers) === undefined
      ? [
          `the authors' code builds ResNets by name only; one of ${resnet_layers.join(', ')} blocks needs a change there`,
        ]
      : []),
    ...(train_mue && mue_image_rel_bias
      ? ["the authors' release leaves the image's relative bias out of MuE encoders; this model computes with it"]
      : []),
    "index tables (rp_bucket, image_position_idx) are left out: the authors' loader makes them",
  ];
}

/** The name of a ResNet of these blocks; undefined where it has none. */
function resnetType(blocks: OfaConfig['resnet_layers']): string | undefined {
  return Object.entries(RESNET_LAYERS).find(([, named]) => named.join() === blocks.join())?.[0];
}

/** What differs from the authors' values and has no name of theirs, under the names of `config.json`. */
function ownSettings(config: OfaConfig): Fields {
  const {batch_norm_epsilon, image_mean, image_std, resnet_layers, mue_image_rel_bias, generation} = config;
  const known = [OFA_DEFAULTS.batch_norm_epsilon, SYNC_BATCH_NORM_EPSILON].includes(batch_norm_epsilon);
  return {
    ...(known ? {} : {batch_norm_epsilon}),
    ...(isImagenet(config) || isHalf(config) ? {} : {image_mean, image_std}),
    ...(resnetType(resnet_layers) === undefined ? {resnet_layers} : {}),
    mue_image_rel_bias,
    generation,
  };
}

function isImagenet({image_mean, image_std}: OfaConfig): boolean {
  return image_mean.join() === IMAGENET_MEAN.join() && image_std.join() === IMAGENET_STD.join();
}

/** Whether images are normalised by halves, as where no setting says anything. */
function isHalf({image_mean, image_std}: OfaConfig): boolean {
  return [...image_mean, ...image_std].every((value) => value === 0.5);
}

/**
 * Settings as a trainer of fairseq's keeps them. `task` has the fields that every task of the authors knows, since
 * theirs refuse others; everything else is an argument of the model.
 */
function fairseqSettings(config: OfaConfig): {readonly model: Fields; readonly task: Fields} {
  const arch = `ofa_${OFA_SIZES.find((size) => ofaConfigOfSize(size).d_model === config.d_model) ?? 'base'}`;
  const {code_dict_size, num_bins, max_source_positions, max_target_positions, max_src_length, patch_image_size} =
    config;
  const sizes = {code_dict_size, num_bins, max_source_positions, max_target_positions, patch_image_size};
  const resnet = resnetType(config.resnet_layers);
  return {
    model: {
      _name: arch,
      arch,
      encoder_embed_dim: config.d_model,
      encoder_ffn_embed_dim: config.encoder_ffn_dim,
      encoder_layers: config.encoder_layers,
      encoder_attention_heads: config.encoder_attention_heads,
      decoder_embed_dim: config.d_model,
      decoder_ffn_embed_dim: config.decoder_ffn_dim,
      decoder_layers: config.decoder_layers,
      decoder_attention_heads: config.decoder_attention_heads,
      ...(resnet === undefined ? {} : {resnet_type: resnet}),
      activation_fn: 'gelu',
      ...Object.fromEntries(REQUIRED_SETTINGS),
      ...sizes,
      token_bucket_size: config.token_bucket_size,
      image_bucket_size: config.image_bucket_size,
      attn_scale_factor: config.attn_scale_factor,
      code_image_size: config.code_image_size,
      scale_attn: config.scale_attn,
      scale_fc: config.scale_fc,
      scale_heads: config.scale_heads,
      scale_resids: config.scale_resids,
      sync_bn: config.batch_norm_epsilon === SYNC_BATCH_NORM_EPSILON,
      train_mue: config.train_mue,
      prompt_type: config.prompt_type,
      add_caption: config.add_caption,
      ...ownSettings(config),
    },
    task: {_name: 'caption', ...sizes, max_src_length, imagenet_default_mean_and_std: isImagenet(config)},
  };
}

/** What fairseq's trainer saves, without an optimizer: `torch.load` gives a dict with `cfg.model` as a Namespace. */
function trainersCheckpoint(weights: Pickled, {model, task}: {readonly model: Fields; readonly task: Fields}): Pickled {
  const [criterion_name, optimizer_name] = [
    model.train_mue ? 'MuE_Task_Loss' : 'AdjustLabelSmoothedCrossEntropyCriterion',
    'FairseqAdam',
  ];
  const history = [{criterion_name, optimizer_name, lr_scheduler_state: {best: null}, num_updates: 0}];
  const iterator = {epoch: 1, iterations_in_epoch: 0, shuffle: true};
  return new Map<string, Pickled>([
    ['args', null],
    [
      'cfg',
      new Map<string, Pickled>([
        ['_name', null],
        ['model', namespace(model)],
        ['task', fromPlain(task)],
      ]),
    ],
    ['model', weights],
    ['criterion', null],
    ['optimizer_history', fromPlain(history)],
    ['task_state', new Map()],
    ['extra_state', fromPlain({train_iterator: iterator, val_loss: null, metrics: {}, previous_training_time: 0})],
  ]);
}

/**
 * The `config.json` of the authors' port to transformers.
 * @throws WeightsError `cannot-export` for what it does not compute
 */
function huggingFaceSettings(config: OfaConfig): PlainValue {
  const {format: _, version: __, family: ___, scale_attn, scale_fc, scale_heads, scale_resids, ...fields} = config;
  const {resnet_layers, train_mue, max_source_positions, max_target_positions} = config;
  const type = resnetType(resnet_layers);
  if (train_mue) refuseExport('hf', 'the port of OFA to transformers has no MuE, so it would compute something else');
  if (type === undefined)
    refuseExport('hf', `the port of OFA to transformers has no ResNet of ${resnet_layers.join(', ')} blocks`);
  if (scale_resids || scale_attn !== scale_fc || scale_attn !== scale_heads)
    refuseExport(
      'hf',
      'the port of OFA to transformers scales attention, feed-forward and heads together or not at all',
    );
  if (max_source_positions !== max_target_positions)
    refuseExport('hf', 'the port of OFA to transformers has one number of positions for sources and targets');
  return {
    architectures: ['OFAModel'],
    model_type: 'ofa',
    ...fields,
    normformer: scale_attn,
    resnet_type: type,
    activation_function: 'gelu',
    scale_embedding: false,
    max_position_embeddings: max_source_positions,
    ...Object.fromEntries(REQUIRED_SETTINGS.filter(([name]) => name !== 'no_scale_embedding')),
    pad_token_id: 1,
    bos_token_id: 0,
    decoder_start_token_id: 0,
    eos_token_id: 2,
    forced_eos_token_id: 2,
    is_encoder_decoder: true,
  };
}
