import * as tf from '@tensorflow/tfjs';
import type {DecoderBias} from '../../../src/models/ofa/decoder.js';
import type {OfaModel} from '../../../src/models/ofa/model.js';
import {absoluteBias, imageBuckets, relativeBias} from '../../../src/models/ofa/positions.js';
import type {TargetPass} from '../../../src/models/ofa/score.js';
import {causalMask} from '../../../src/nn/attention.js';

// No task generates images, but checkpoints hold the weights for it: norm, positions and relative tables of image
// codes. This composes them from the decoder's blocks, so that the authors' numbers hold them to account
// (docs/reference/ofa-mue.md 4.2). R rows, T positions, D width, H heads, M encoder length, V ids

/** Position ids of codes: begin, then `window`² codes row by row on the grid, then 1024s. */
export function codePositionIds(window: number, gridSize: number, length: number): Int32Array {
  return Int32Array.from({length}, (_, i) => {
    if (i === 0) return 0;
    return i <= window * window ? Math.floor((i - 1) / window) * gridSize + ((i - 1) % window) + 1 : 1024;
  });
}

/**
 * Logits at every position where some rows are codes of an image instead of words; one row an image, full depth.
 * @param code   whether each row is of codes
 * @returns      [R·T, V], the caller's
 */
export function codeLogits(
  {decoder, encoder, config}: OfaModel,
  {encoded, crossAttention}: TargetPass,
  targets: readonly (readonly number[])[],
  code: readonly boolean[],
): tf.Tensor2D {
  const length = targets[0]!.length;
  const {image_bucket_size: grid, decoder_attention_heads: heads, attn_scale_factor: factor} = config;
  const images = targets.map((_, b) => b);
  const memories = decoder.layers.map((_, layer) => crossAttention.of(layer, images));
  return tf.tidy(() => {
    const ids = codePositionIds(config.code_image_size / 8, grid, length);
    const codeTable = decoder.imagePositionTable.forward(tf.tensor1d(ids, 'int32')).expandDims(0) as tf.Tensor3D;
    const positions = {text: decoder.positions(length), code: decoder.imagePositionNorm.forward(codeTable)};
    const byRow = (of: (kind: 'text' | 'code') => tf.Tensor): tf.Tensor =>
      tf.concat(code.map((isCode) => of(isCode ? 'code' : 'text')));
    const {selfPositionQueries: q, selfPositionKeys: k} = decoder;
    const absolute = {
      text: decoder.selfAbsoluteBias(positions.text),
      code: absoluteBias(positions.code, positions.code, q, k, heads, factor),
    };
    const selfBias = (layer: number, kind: 'text' | 'code'): tf.Tensor =>
      kind === 'text'
        ? decoder.selfBias(layer, absolute.text)
        : absolute.code.add(relativeBias(decoder.imageRelative[layer]!, imageBuckets(ids, grid), length, length));
    const cross = byRow((kind) => decoder.crossBias(positions[kind], encoded.positions));
    const embedded = tf.concat(
      targets.map((row, r) => {
        const tokens = encoder.tokens.forward(tf.tensor2d([...row], [1, length], 'int32'));
        return (code[r] ? decoder.codeNorm : decoder.textNorm).forward(tokens);
      }),
    ) as tf.Tensor3D;
    const causal = causalMask(length, length);
    const last = decoder.layers.reduce<tf.Tensor3D>((x, block, layer) => {
      const bias: DecoderBias = {
        self: [byRow((kind) => selfBias(layer, kind)), causal],
        cross: encoded.mask ? [cross, encoded.mask] : [cross],
      };
      return block.forwardWhole(x, memories[layer]!, bias);
    }, embedded);
    return decoder.logits(last.reshape([-1, config.d_model]) as tf.Tensor2D);
  });
}
