import type {Steps} from '../runtime/steps.js';
import {type RgbImage, resizeBicubic, type Window} from './image.js';

/**
 * Cuts a square of `size` from the middle of a picture whose shorter side is made that long, byte for byte as
 * torchvision's `Resize(size, BICUBIC)` and `CenterCrop(size)` (docs/reference/coca.md 5).
 * @param image borrowed until the last step
 * @returns a new picture, or `image` itself if it is that square already
 * @throws InputError `image-size` where a size makes no sense
 */
export function* centreSquare(image: RgbImage, size: number): Steps<RgbImage> {
  const shorter = Math.min(image.width, image.height);
  const scaled = (side: number): number => (side === shorter ? size : Math.floor((size * side) / shorter));
  const width = scaled(image.width);
  const height = scaled(image.height);
  const [left, top] = [width, height].map((side) => roundHalfToEven((side - size) / 2)) as [number, number];
  return yield* resizeOpened(image, width, height, {left, top, width: size, height: size});
}

/** Python's round(). */
function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}

/**
 * Pillow's `Image.resize(…, BICUBIC)`, bit for bit, of a picture that was not RGB when it was opened
 * (`RgbImage.opened`): colours of a table cannot be mixed and are taken from the nearest pixel; transparent pixels
 * count as much as they are seen. Any other picture is resized as by `resizeBicubic`.
 * @returns a new picture, RGB alone, or `image` itself if it has that size already
 */
function* resizeOpened(image: RgbImage, width: number, height: number, window: Window): Steps<RgbImage> {
  const {opened} = image;
  if (opened === undefined || (image.width === width && image.height === height))
    return yield* resizeBicubic(image, width, height, window);
  if (opened === 'table') return nearest(image, width, height, window);
  const {alpha} = opened;
  const seen = yield* bytes(image.data.length, (i) => times(image.data[i]!, alpha[Math.floor(i / 3)]!));
  const resized = yield* resizeBicubic({...image, data: seen}, width, height, window);
  // Alpha is resized as a grey picture, whose three channels are one.
  const grey = yield* bytes(image.data.length, (i) => alpha[Math.floor(i / 3)]!);
  const {data: left} = yield* resizeBicubic({...image, data: grey}, width, height, window);
  return {width: resized.width, height: resized.height, data: resized.data.map((c, i) => divided(c, left[i]!))};
}

/** The bytes that are made in a step, in some ten milliseconds. */
const STEP_BYTES = 2 ** 21;

/** Computes bytes one by one. */
function* bytes(length: number, at: (i: number) => number): Steps<Uint8Array> {
  const all = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    if (i > 0 && i % STEP_BYTES === 0) yield;
    all[i] = at(i);
  }
  return all;
}

function nearest(
  {width: fromWidth, height: fromHeight, data: from}: RgbImage,
  width: number,
  height: number,
  window: Window,
): RgbImage {
  const data = new Uint8Array(window.width * window.height * 3);
  const source = (at: number, side: number, to: number): number => Math.floor((at + 0.5) * (side / to));
  let out = 0;
  for (let y = 0; y < window.height; y++) {
    const row = source(window.top + y, fromHeight, height) * fromWidth;
    for (let x = 0; x < window.width; x++) {
      const at = (row + source(window.left + x, fromWidth, width)) * 3;
      for (let c = 0; c < 3; c++) data[out++] = from[at + c]!;
    }
  }
  return {width: window.width, height: window.height, data};
}

/** c · alpha / 255 in Pillow's integer rounding. */
function times(c: number, alpha: number): number {
  const product = c * alpha + 128;
  return ((product >> 8) + product) >> 8;
}

function divided(c: number, alpha: number): number {
  return alpha === 0 || alpha === 255 ? c : Math.min(255, Math.floor((255 * c) / alpha));
}
