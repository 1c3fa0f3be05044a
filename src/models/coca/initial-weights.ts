import type {StoredWeight} from '../../nn/block.js';
import {type Random, seededRandom} from '../../runtime/random.js';
import type {CocaConfig} from './config.js';
import {cocaWeights, INITIAL_LOGIT_SCALE} from './model.js';

/** How a weight begins: one value, N(0, deviation²), or uniform from −bound to bound. */
type Start = {readonly value: number} | {readonly deviation: number} | {readonly bound: number};

/** An odd number that spreads neighbouring weights over all seeds. */
const SPREAD = 0xc2b2ae35;

/**
 * Weights of a model that nothing was learnt by yet, drawn as open_clip draws them (docs/reference/coca.md 6): the same
 * for a seed on every machine. The head, which open_clip leaves undefined, is N(0, 1/d).
 * @returns an array for each weight
 */
export function initialCocaWeights(config: CocaConfig, seed: number): ReadonlyMap<string, Float32Array> {
  return new Map(
    cocaWeights(config).map((weight, i) => {
      const values = new Float32Array(weight.shape.reduce((a, b) => a * b, 1));
      fill(values, startOf(weight, config), seededRandom(seed ^ Math.imul(i + 1, SPREAD)));
      return [weight.name, values];
    }),
  );
}

function startOf({name, shape, neutral}: StoredWeight, config: CocaConfig): Start {
  if (neutral !== undefined) return {value: neutral};
  if (name === 'logit_scale') return {value: INITIAL_LOGIT_SCALE};
  return name.startsWith('visual.') ? startOfVision(name, shape, config) : startOfText(name, shape, config);
}

function startOfVision(name: string, shape: readonly number[], {vision}: CocaConfig): Start {
  if (name.endsWith('attn_pool.query')) return {deviation: 1};
  if (/^visual\.(class_embedding|positional_embedding)$/.test(name)) return {deviation: vision.width ** -0.5};
  if (name === 'visual.proj') return {deviation: shape[0]! ** -0.5};
  const xavier = startOfAttention(name, shape);
  return xavier ?? pytorchDefault(name, shape, vision.mlp_width, vision.width);
}

function startOfText(name: string, shape: readonly number[], {text, multimodal}: CocaConfig): Start {
  const {width} = text;
  const own = name.startsWith('text.') ? text : multimodal;
  if (name.endsWith('token_embedding.weight')) return {deviation: 0.02};
  if (/\.(positional_embedding|cls_emb)$/.test(name)) return {deviation: 0.01};
  if (name.endsWith('text_projection')) return {deviation: width ** -0.5};
  const deep = width ** -0.5 * (2 * own.layers) ** -0.5;
  if (/\.attn\..*bias$/.test(name)) return {value: 0};
  if (/\.attn\.[qkv]_proj\.weight$/.test(name)) return {deviation: width ** -0.5};
  if (/\.(attn\.out_proj|mlp\.c_proj)\.weight$/.test(name)) return {deviation: deep};
  if (name.endsWith('.mlp.c_fc.weight')) return {deviation: (2 * width) ** -0.5};
  return pytorchDefault(name, shape, own.mlp_width, width);
}

/** PyTorch's MultiheadAttention: Xavier, where q, k and v of one width are one matrix; no biases. */
function startOfAttention(name: string, [inputs, outputs]: readonly number[]): Start | undefined {
  if (!/\.attn\./.test(name)) return undefined;
  if (name.endsWith('bias')) return {value: 0};
  if (!/[qkv]_proj\.weight$/.test(name)) return undefined;
  const fused = !name.includes('attn_pool') || inputs === outputs;
  return {bound: Math.sqrt(6 / (inputs! + (fused ? 3 : 1) * outputs!))};
}

/** Uniform, bounded by the root of the number of inputs. @param hidden width of a feed-forward block's middle */
function pytorchDefault(name: string, shape: readonly number[], hidden: number, width: number): Start {
  const inputs = name.endsWith('bias')
    ? name.includes('c_proj')
      ? hidden
      : width
    : shape.slice(0, -1).reduce((a, b) => a * b, 1);
  return {bound: inputs ** -0.5};
}

function fill(values: Float32Array, start: Start, random: Random): void {
  if ('value' in start) values.fill(start.value);
  else if ('bound' in start) for (let i = 0; i < values.length; i++) values[i] = start.bound * (2 * random.next() - 1);
  else for (let i = 0; i < values.length; i++) values[i] = start.deviation * normal(random);
}

/** N(0, 1), by Box and Muller. */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}
