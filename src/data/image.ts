import {InputError} from '../runtime/errors.js';
import type {Steps} from '../runtime/steps.js';

/** A decoded picture. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** [height · width · 3] bytes, 0..255, row by row, red green blue. */
  readonly data: Uint8Array;
  /** Its kind before it became RGB, where that counts when it is resized (`centreSquare`). */
  readonly opened?: OpenedAs;
}

/** A picture with a table of colours, or one with transparency: [height · width] bytes, 255 opaque. */
export type OpenedAs = 'table' | {readonly alpha: Uint8Array};

/** A part of a picture, in pixels. */
export interface Window {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Integer weights of one axis: output i is the sum of `weights[i · taps + k] · input[first[i] + k]`, k < count[i]. */
interface AxisWeights {
  readonly taps: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
}

const PRECISION = 22;
const HALF = 1 << (PRECISION - 1);
/** The weighted sums, of three colours each, that a step of resizing takes. */
const STEP_SUMS = 4e6;
// A name of the module's own: looking up the global `Math` in the inner loop is slow where globals are intercepted (vm
// contexts).
const {imul} = Math;

/**
 * Pillow's `Image.resize(…, BICUBIC)`, bit for bit (Pillow 9.5 … 12): antialiased, horizontal pass first, rounded to
 * bytes after each pass, a pass skipped where the size stays (docs/reference/ofa-mue.md 7).
 * @param image  borrowed until the last step
 * @param window the only part of the result that is wanted, and computed; all of it by default
 * @returns a new picture, or `image` itself if it is the wanted one already
 * @throws InputError `image-size` where the sizes or the data's length make no sense
 */
export function* resizeBicubic(
  image: RgbImage,
  width: number,
  height: number,
  window: Window = {left: 0, top: 0, width, height},
): Steps<RgbImage> {
  checkSize(image.width, image.height, 'the picture');
  checkSize(window.width, window.height, 'the wanted size');
  if (image.data.length !== image.width * image.height * 3) {
    throw new InputError(
      'image-size',
      `the picture: wanted ${image.width} × ${image.height} × 3 = ${image.width * image.height * 3} bytes, got ${image.data.length}`,
    );
  }
  const {left, top} = window;
  const wide =
    image.width === width
      ? cut(image, {left, top: 0, width: window.width, height: image.height})
      : yield* horizontal(image, axisWeights(image.width, width, left, window.width));
  return image.height === height
    ? cut(wide, {left: 0, top, width: window.width, height: window.height})
    : yield* vertical(wide, axisWeights(image.height, height, top, window.height));
}

function cut(image: RgbImage, {left, top, width, height}: Window): RgbImage {
  if (image.width === width && image.height === height) return image;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 3;
    data.set(image.data.subarray(from, from + width * 3), y * width * 3);
  }
  return {width, height, data};
}

/**
 * The pixels of a picture as a model takes them: (v / 255 − mean) / std in float32 steps, as in torchvision.
 * @param mean of red, green and blue, for values 0..1
 * @param std  of red, green and blue
 * @returns [height · width · 3] row by row, red green blue
 */
export function toPixels(
  image: RgbImage,
  mean: readonly number[] = [0.5, 0.5, 0.5],
  std: readonly number[] = [0.5, 0.5, 0.5],
): Float32Array {
  const tables = [0, 1, 2].map((channel) => {
    const m = Math.fround(mean[channel]!);
    const s = Math.fround(std[channel]!);
    return Float32Array.from({length: 256}, (_, v) => Math.fround(Math.fround(Math.fround(v / 255) - m) / s));
  });
  const [red, green, blue] = tables as [Float32Array, Float32Array, Float32Array];
  const {data} = image;
  const pixels = new Float32Array(data.length);
  for (let i = 0; i < data.length; i += 3) {
    pixels[i] = red[data[i]!]!;
    pixels[i + 1] = green[data[i + 1]!]!;
    pixels[i + 2] = blue[data[i + 2]!]!;
  }
  return pixels;
}

function checkSize(width: number, height: number, what: string): void {
  if (
    !Number.isSafeInteger(width) ||
    !Number.isSafeInteger(height) ||
    width < 1 ||
    height < 1 ||
    width * height * 3 > 0x7fffffff
  ) {
    throw new InputError(
      'image-size',
      `${what}: wanted whole numbers from 1 and under 2 GiB of pixels, got ${width} × ${height}`,
    );
  }
}

function cubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0;
}

/**
 * The weights of one axis. The order of the float64 operations is that of Pillow's Resample.c: another order rounds
 * some weights to other integers.
 * @param from the length of the axis of the input
 * @param to   the length of the axis of the output, of which `length` values from `begin` on are wanted
 */
function axisWeights(from: number, to: number, begin: number, length: number): AxisWeights {
  const scale = from / to;
  const filterScale = Math.max(scale, 1);
  const support = 2 * filterScale;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const weights = new Int32Array(length * taps);
  const exact = new Float64Array(taps);
  for (let i = 0; i < length; i++) {
    const centre = (begin + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const n = Math.min(from, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let k = 0; k < n; k++) {
      exact[k] = cubic((k + start - centre + 0.5) * (1 / filterScale));
      sum += exact[k]!;
    }
    first[i] = start;
    count[i] = n;
    for (let k = 0; k < n; k++) {
      const weight = (sum === 0 ? exact[k]! : exact[k]! / sum) * (1 << PRECISION);
      weights[i * taps + k] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
  }
  return {taps, first, count, weights};
}

// No sum leaves int32: the absolute weights of a normalised cubic add up to at most about 1.3 · 2²², which times 255 is
// under 1.4 · 2³⁰.
function* horizontal(image: RgbImage, axis: AxisWeights): Steps<RgbImage> {
  const width = axis.first.length;
  const {height} = image;
  const to = new Uint8ClampedArray(width * height * 3);
  const rows = rowsOfAStep(width * axis.taps);
  for (let y = 0; y < height; y += rows) {
    if (y > 0) yield;
    mixColumns(image, axis, to, y, Math.min(height, y + rows));
  }
  return {width, height, data: new Uint8Array(to.buffer)};
}

/** The rows that make up a step, some ten milliseconds. @param sums for each row */
function rowsOfAStep(sums: number): number {
  return Math.max(1, Math.floor(STEP_SUMS / sums));
}

function mixColumns(
  image: RgbImage,
  {taps, first, count, weights}: AxisWeights,
  to: Uint8ClampedArray,
  begin: number,
  stop: number,
): void {
  const width = first.length;
  const {data: from} = image;
  for (let y = begin; y < stop; y++) {
    const row = y * image.width * 3;
    let out = y * width * 3;
    for (let x = 0; x < width; x++) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let at = row + first[x]! * 3;
      const end = x * taps + count[x]!;
      for (let k = x * taps; k < end; k++) {
        const weight = weights[k]!;
        red = (red + imul(weight, from[at]!)) | 0;
        green = (green + imul(weight, from[at + 1]!)) | 0;
        blue = (blue + imul(weight, from[at + 2]!)) | 0;
        at += 3;
      }
      to[out++] = red >> PRECISION;
      to[out++] = green >> PRECISION;
      to[out++] = blue >> PRECISION;
    }
  }
}

function* vertical(image: RgbImage, axis: AxisWeights): Steps<RgbImage> {
  const height = axis.first.length;
  const {width} = image;
  const to = new Uint8ClampedArray(width * 3 * height);
  const rows = rowsOfAStep(width * axis.taps);
  for (let y = 0; y < height; y += rows) {
    if (y > 0) yield;
    mixRows(image, axis, to, y, Math.min(height, y + rows));
  }
  return {width, height, data: new Uint8Array(to.buffer)};
}

function mixRows(
  {data: from, width}: RgbImage,
  {taps, first, count, weights}: AxisWeights,
  to: Uint8ClampedArray,
  begin: number,
  stop: number,
): void {
  const rowLength = width * 3;
  const sums = new Int32Array(rowLength);
  for (let y = begin; y < stop; y++) {
    sums.fill(HALF);
    for (let k = 0; k < count[y]!; k++) {
      const weight = weights[y * taps + k]!;
      const row = (first[y]! + k) * rowLength;
      for (let x = 0; x < rowLength; x++) sums[x] = sums[x]! + imul(weight, from[row + x]!);
    }
    const out = y * rowLength;
    for (let x = 0; x < rowLength; x++) to[out + x] = sums[x]! >> PRECISION;
  }
}
