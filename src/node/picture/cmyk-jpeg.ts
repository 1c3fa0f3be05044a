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
  const ycck = jpeg.adobe === 2;
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0; column < width; column++, to += 3) {
      let inks = [
        c.data[row * c.stride + column]!,
        m.data[row * m.stride + column]!,
        y.data[row * y.stride + column]!,
      ] as const;
      if (ycck) inks = ycckInks(...inks);
      // The stored values are inverted inks, so the stored k is 255 − k already.
      const light = k.data[row * k.stride + column]!;
      for (let channel = 0; channel < 3; channel++) {
        const product = imul(255 - inks[channel]!, light) + 128;
        data[to + channel] = light - (((product >> 8) + product) >> 8);
      }
    }
  }
  return {width, height, data};
}

/** Cyan, magenta and yellow of YCC, as libjpeg's ycck_cmyk_convert: the RGB of YCbCr, inverted. */
function ycckInks(luma: number, blue: number, red: number): readonly [number, number, number] {
  const cb = blue - 128;
  const cr = red - 128;
  return [
    clamp(255 - (luma + ((imul(91881, cr) + 32768) >> 16))),
    clamp(255 - (luma + ((imul(-22554, cb) + imul(-46802, cr) + 32768) >> 16))),
    clamp(255 - (luma + ((imul(116130, cb) + 32768) >> 16))),
  ];
}

function clamp(value: number): number {
  return max(0, min(255, value));
}

function inverseDct(component: JpegComponent, {width, height, maxH, maxV, quantTables}: JpegCoefficients): Plane {
  const {stride: blocks, blocksWide, blocksHigh, coefficients, h, v} = component;
  const quant = quantTables[component.quantTable];
  if (quant === undefined) throw corrupt('JPEG', 'a quantisation table is missing');
  const stride = blocksWide * 8;
  const data = new Uint8Array(stride * blocksHigh * 8);
  const block = new Int32Array(64);
  for (let row = 0; row < blocksHigh; row++) {
    for (let column = 0; column < blocksWide; column++) {
      const at = (row * blocks + column) * 64;
      for (let i = 0; i < 64; i++) block[ZIGZAG[i]!] = imul(coefficients[at + i]!, quant[i]!);
      for (let i = 0; i < 8; i++) transform(block, i, 8, 11);
      for (let i = 0; i < 8; i++) transform(block, i * 8, 1, 18);
      for (let i = 0; i < 64; i++) data[(row * 8 + (i >> 3)) * stride + column * 8 + (i & 7)] = clamp(block[i]! + 128);
    }
  }
  return {width: Math.ceil((width * h) / maxH), height: Math.ceil((height * v) / maxV), stride, data};
}

/**
 * One dimension of the inverse DCT, in place, as libjpeg's jidctint.c computes it with 13 bits of fraction: 8 values
 * that are `step` apart, rounded down by `shift` bits.
 */
function transform(block: Int32Array, at: number, step: number, shift: number): void {
  const round = 1 << (shift - 1);
  const value = (i: number): number => block[at + i * step]!;
  const even = imul(value(2) + value(6), 4433);
  const e2 = even - imul(value(6), 15137);
  const e3 = even + imul(value(2), 6270);
  const e0 = (value(0) + value(4)) << 13;
  const e1 = (value(0) - value(4)) << 13;
  const [a, b, c, d] = [value(7), value(5), value(3), value(1)];
  const z5 = imul(a + c + b + d, 9633);
  const z1 = -imul(a + d, 7373);
  const z2 = -imul(b + c, 20995);
  const z3 = z5 - imul(a + c, 16069);
  const z4 = z5 - imul(b + d, 3196);
  const o0 = imul(a, 2446) + z1 + z3;
  const o1 = imul(b, 16819) + z2 + z4;
  const o2 = imul(c, 25172) + z2 + z3;
  const o3 = imul(d, 12299) + z1 + z4;
  const put = (low: number, sum: number, odd: number): void => {
    block[at + low * step] = (sum + odd + round) >> shift;
    block[at + (7 - low) * step] = (sum - odd + round) >> shift;
  };
  put(0, e0 + e3, o3);
  put(1, e1 + e2, o2);
  put(2, e1 - e2, o1);
  put(3, e0 - e3, o0);
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
