import * as tf from '@tensorflow/tfjs';
import type {CocaConfig} from './config.js';

// Which keys of the unimodal tower may never be attended to (coca section 2.3).   T tokens of a text

/**
 * Flags of a text's own tokens. In the published (`legacy`) mode the bits are shifted by one: a key is shut out by the pad
 * *before* it, so the first pad is seen. Id 0 is a byte of real text, too, and is then taken for padding, as in the reference.
 */
export function paddedKeys(ids: readonly number[], {cls_mask, pad_id}: Pick<CocaConfig, 'cls_mask' | 'pad_id'>): boolean[] {
  return ids.map((id, j) => (cls_mask === 'legacy' ? j > 0 && ids[j - 1] === pad_id : id === pad_id));
}

/** Whether CLS may not attend to itself: the shifted bit of the last token. @param last id at the context's last position */
export function paddedCls(last: number, {cls_mask, pad_id}: Pick<CocaConfig, 'cls_mask' | 'pad_id'>): boolean {
  return cls_mask === 'legacy' && last === pad_id;
}

/** Additive mask [R, 1, 1, n], the caller's; undefined if all keys may be seen. */
export function keyMask(padded: readonly (readonly boolean[])[]): tf.Tensor4D | undefined {
  if (!padded.some((row) => row.includes(true))) return undefined;
  return tf.tensor4d(
    padded.flat().map((flag) => (flag ? -1e9 : 0)),
    [padded.length, 1, 1, padded[0]!.length],
  );
}
