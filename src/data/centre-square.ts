import type {RgbImage} from './image.js';
import {resizeOpened} from './resize-opened.js';

/**
 * A square of `size` from the middle of a picture whose shorter side has been made that long, byte for byte as torchvision's
 * `Resize(size, BICUBIC)` and `CenterCrop(size)` do it. RGB first, unless the picture says
 * what it was before (coca.md section 5).
 * @returns a new picture, or `image` itself if it is that square already
 * @throws InputError `image-size` where a size makes no sense
 */
export function centreSquare(image: RgbImage, size: number): RgbImage {
  const shorter = Math.min(image.width, image.height);
  const scaled = (side: number): number => (side === shorter ? size : Math.floor((size * side) / shorter));
  const width = scaled(image.width);
  const height = scaled(image.height);
  const [left, top] = [width, height].map((side) => roundHalfToEven((side - size) / 2)) as [number, number];
  return resizeOpened(image, width, height, {left, top, width: size, height: size});
}

/** Python's round(). */
function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}
