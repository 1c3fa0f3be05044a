import * as tf from '@tensorflow/tfjs';
import type {Random} from '../../runtime/random.js';

// B pictures, s their side

/** A part of a square picture, in shares of its side: from `top` and `left` to `bottom` and `right`. */
export interface CropBox {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

export const WHOLE_PICTURE: CropBox = {top: 0, left: 0, bottom: 1, right: 1};

/** Ratios of width to height that are drawn from, torchvision's. */
const RATIOS = [3 / 4, 4 / 3] as const;
/** Draws that may fail before the whole picture is taken. */
const MOST_DRAWS = 10;

/**
 * torchvision's `RandomResizedCrop` of a square picture: a share of its area and a ratio of its sides, drawn until the
 * rectangle fits; then its place.
 * @param least   smallest share of the area
 */
export function drawCrop(random: Random, least: number): CropBox {
  const [narrow, wide] = RATIOS.map(Math.log) as [number, number];
  for (let draw = 0; draw < MOST_DRAWS; draw++) {
    const area = least + (1 - least) * random.next();
    const ratio = Math.exp(narrow + (wide - narrow) * random.next());
    const [width, height] = [Math.sqrt(area * ratio), Math.sqrt(area / ratio)];
    if (width > 1 || height > 1) continue;
    const [top, left] = [random.next() * (1 - height), random.next() * (1 - width)];
    return {top, left, bottom: top + height, right: left + width};
  }
  return WHOLE_PICTURE;
}

/**
 * Crops on the device, each made as large as the picture again, by bilinear interpolation.
 * @param pictures   [B, s, s, 3], borrowed
 * @returns          [B, s, s, 3], the caller's
 */
export function cropped(pictures: tf.Tensor4D, crops: readonly CropBox[]): tf.Tensor4D {
  if (crops.every((crop) => crop === WHOLE_PICTURE)) return pictures.clone();
  return tf.tidy(() => {
    const [count, side] = pictures.shape;
    const boxes = tf.tensor2d(crops.map(({top, left, bottom, right}) => [top, left, bottom, right]));
    const rows = tf.tensor1d(
      Int32Array.from({length: count}, (_, row) => row),
      'int32',
    );
    return tf.image.cropAndResize(pictures, boxes, rows, [side, side], 'bilinear');
  });
}
