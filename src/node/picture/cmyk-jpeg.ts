import type {RgbImage} from '../../data/image.js';
import {type JpegComponent, type JpegCoefficients, readJpegCoefficients} from './jpeg-coefficients.js';
import {corrupt} from './format.js';

/** The samples of one component, 0..255, row by row; a row of `width` samples takes `stride` bytes. */
interface Plane {
  readonly width: number;
  readonly height: number;
  readonly stride: number;
  readonly data: Uint8Array;
}

const {imul, max, min} = Math;
/** The position in a block, row by row, of the k-th coefficient of the file. */
const ZIGZAG = [
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
  35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47,
  55, 62, 63,
];

/**
 * Decodes a JPEG of four components to the bytes that Pillow's RGB has: libjpeg's accurate integer inverse DCT and
 * smooth upsampling, YCCK → CMYK where Adobe's segment says so, the inks always taken as inverted (Adobe's convention),
 * then r = (255 − k)(255 − c) / 255 in Pillow's rounding. It exists because the WebAssembly decoder takes no CMYK.
 */
export function decodeCmykJpeg(bytes: Uint8Array): RgbImage {
  const jpeg = readJpegCoefficients(bytes);
  const {width, height} = jpeg;
  const [c, m, y, k] = jpeg.components.map((component) => upsample(inverseDct(component, jpeg), component, jpeg)) as [
    Plane,
    Plane,
    Plane,
    Plane,
  ];
  const data = new Uint8Array(width * height * 3);
  const line = (plane: Plane, row: number): Uint8Array => plane.data.subarray(row * plane.stride);
  for (let row = 0; row < height; row++) {
    const inks = [line(c, row), line(m, row), line(y, row)] as const;
    if (jpeg.adobe === 2) toCmy(inks, width);
    const [cyan, magenta, yellow] = inks;
    // The stored values are inverted inks, so the stored k is 255 − k already.
    const light = line(k, row);
    for (let column = 0, to = row * width * 3; column < width; column++, to += 3) {
      data[to] = shade(cyan[column]!, light[column]!);
      data[to + 1] = shade(magenta[column]!, light[column]!);
      data[to + 2] = shade(yellow[column]!, light[column]!);
    }
  }
  return {width, height, data};
}

/** libjpeg's ycck_cmyk_convert of one line, in place: the RGB of YCbCr, inverted. */
function toCmy([c, m, y]: readonly [Uint8Array, Uint8Array, Uint8Array], width: number): void {
  for (let x = 0; x < width; x++) {
    const luma = c[x]!;
    const cb = m[x]! - 128;
    const cr = y[x]! - 128;
    c[x] = clamp(255 - (luma + ((imul(91881, cr) + 32768) >> 16)));
    m[x] = clamp(255 - (luma + ((imul(-22554, cb) + imul(-46802, cr) + 32768) >> 16)));
    y[x] = clamp(255 - (luma + ((imul(116130, cb) + 32768) >> 16)));
  }
}

/** light − (255 − ink) · light / 255, in Pillow's rounding. */
function shade(ink: number, light: number): number {
  const product = imul(255 - ink, light) + 128;
  return light - (((product >> 8) + product) >> 8);
}

function clamp(value: number): number {
  return max(0, min(255, value));
}

function inverseDct(component: JpegComponent, {width, height, maxH, maxV, quantTables}: JpegCoefficients): Plane {
  const {stride: blocks, blocksWide, blocksHigh, coefficients, last, h, v} = component;
  const quant = quantTables[component.quantTable];
  if (quant === undefined) throw corrupt('JPEG', 'a quantisation table is missing');
  const stride = blocksWide * 8;
  const data = new Uint8ClampedArray(stride * blocksHigh * 8);
  const block = new Int32Array(64);
  for (let row = 0; row < blocksHigh; row++) {
    for (let column = 0; column < blocksWide; column++) {
      const at = (row * blocks + column) * 64;
      const reached = last[row * blocks + column]!;
      let to = row * 8 * stride + column * 8;
      if (reached === 0) {
        // What the transforms come to where every line is flat.
        const dc = imul(coefficients[at]!, quant[0]!);
        const value = flat(flat(dc, 11), 18) + 128;
        for (let y = 0; y < 8; y++, to += stride) data.fill(value, to, to + 8);
        continue;
      }
      block.fill(0);
      for (let i = 0; i <= reached; i++) block[ZIGZAG[i]!] = imul(coefficients[at + i]!, quant[i]!);
      for (let i = 0; i < 8; i++) transform(block, i, 8, 11);
      for (let i = 0; i < 64; i += 8) transform(block, i, 1, 18);
      for (let i = 0; i < 64; i += 8, to += stride) for (let x = 0; x < 8; x++) data[to + x] = block[i + x]! + 128;
    }
  }
  const size = {width: Math.ceil((width * h) / maxH), height: Math.ceil((height * v) / maxV)};
  return {...size, stride, data: new Uint8Array(data.buffer)};
}

/** What `transform` makes of a line that is `v0` and zeros. */
function flat(v0: number, shift: number): number {
  return ((v0 << 13) + (1 << (shift - 1))) >> shift;
}

/**
 * One dimension of the inverse DCT, in place, as libjpeg's jidctint.c computes it with 13 bits of fraction: 8 values
 * that are `step` apart, rounded down by `shift` bits.
 */
function transform(block: Int32Array, at: number, step: number, shift: number): void {
  const round = 1 << (shift - 1);
  const v0 = block[at]!;
  const v1 = block[at + step]!;
  const v2 = block[at + 2 * step]!;
  const v3 = block[at + 3 * step]!;
  const v4 = block[at + 4 * step]!;
  const v5 = block[at + 5 * step]!;
  const v6 = block[at + 6 * step]!;
  const v7 = block[at + 7 * step]!;
  if ((v1 | v2 | v3 | v4 | v5 | v6 | v7) === 0) {
    // Most lines of a photo are such.
    const value = flat(v0, shift);
    for (let i = 0; i < 8; i++) block[at + i * step] = value;
    return;
  }
  const even = imul(v2 + v6, 4433);
  const e2 = even - imul(v6, 15137);
  const e3 = even + imul(v2, 6270);
  const e0 = (v0 + v4) << 13;
  const e1 = (v0 - v4) << 13;
  const z5 = imul(v7 + v3 + v5 + v1, 9633);
  const z1 = -imul(v7 + v1, 7373);
  const z2 = -imul(v5 + v3, 20995);
  const z3 = z5 - imul(v7 + v3, 16069);
  const z4 = z5 - imul(v5 + v1, 3196);
  const o0 = imul(v7, 2446) + z1 + z3;
  const o1 = imul(v5, 16819) + z2 + z4;
  const o2 = imul(v3, 25172) + z2 + z3;
  const o3 = imul(v1, 12299) + z1 + z4;
  block[at] = (e0 + e3 + o3 + round) >> shift;
  block[at + step] = (e1 + e2 + o2 + round) >> shift;
  block[at + 2 * step] = (e1 - e2 + o1 + round) >> shift;
  block[at + 3 * step] = (e0 - e3 + o0 + round) >> shift;
  block[at + 4 * step] = (e0 - e3 - o0 + round) >> shift;
  block[at + 5 * step] = (e1 - e2 - o1 + round) >> shift;
  block[at + 6 * step] = (e1 + e2 - o2 + round) >> shift;
  block[at + 7 * step] = (e0 + e3 - o3 + round) >> shift;
}

/**
 * Enlarges a plane to the size of the picture as libjpeg does: smooth for factors of two, repeated pixels for others.
 */
function upsample(plane: Plane, {h, v}: JpegComponent, {maxH, maxV}: JpegCoefficients): Plane {
  const [across, down] = [maxH / h, maxV / v];
  if (across === 1 && down === 1) return plane;
  const {width, height, stride, data} = plane;
  const to = {
    width: width * across,
    height: height * down,
    stride: width * across,
    data: new Uint8Array(width * across * height * down),
  };
  const smooth = (across === 2 && down <= 2 && width > 2) || (across === 1 && down === 2);
  const line = new Int32Array(width);
  for (let row = 0; row < to.height; row++) {
    const near = Math.floor(row / down);
    const far = max(0, min(height - 1, row % 2 === 0 ? near - 1 : near + 1));
    const mixed = smooth && down === 2;
    for (let x = 0; x < width; x++)
      line[x] = mixed ? 3 * data[near * stride + x]! + data[far * stride + x]! : data[near * stride + x]!;
    const out = to.data.subarray(row * to.stride, (row + 1) * to.stride);
    if (smooth && across === 2) widen(line, out, mixed);
    else if (mixed) for (let x = 0; x < width; x++) out[x] = (line[x]! + (row % 2 === 0 ? 1 : 2)) >> 2;
    else for (let x = 0; x < out.length; x++) out[x] = line[Math.floor(x / across)]!;
  }
  return to;
}

/**
 * Doubles a line with a triangle filter. `mixed` lines are four times as large. Roundings alternate, as in libjpeg's
 * jdsample.c.
 */
function widen(line: Int32Array, out: Uint8Array, mixed: boolean): void {
  const [shift, even, odd] = mixed ? [4, 8, 7] : [2, 1, 2];
  const last = line.length - 1;
  for (let x = 0; x <= last; x++) {
    const three = 3 * line[x]!;
    out[2 * x] = (three + line[max(0, x - 1)]! + even) >> shift;
    out[2 * x + 1] = (three + line[min(last, x + 1)]! + odd) >> shift;
  }
}
