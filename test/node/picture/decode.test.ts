import {createHash} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import fc from 'fast-check';
import {decodeImage} from '../../../src/node/picture/decode.js';
import {MueError} from '../../../src/runtime/errors.js';
import {golden, goldenDir} from '../../support/golden/golden.js';

const fixtures = path.join(import.meta.dirname, '..', '..', 'fixtures', 'images');
const fixture = (name: string): Uint8Array => new Uint8Array(fs.readFileSync(path.join(fixtures, name)));
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

interface Expected {
  readonly mode: string;
  readonly size: [number, number];
  readonly sha256: string;
  readonly applied?: {readonly size: [number, number]; readonly sha256: string};
}
const {images: expected} = JSON.parse(new TextDecoder().decode(fixture('expected.json'))) as {
  images: Record<string, Expected>;
};

describe("decodeImage, the authors' pictures", () => {
  const info = golden<{images: Record<string, {size: [number, number]}>}>('images.json').images;
  const arrays = golden('images.safetensors');
  test.each(Object.keys(info))('decodes %s to the same bytes', async (name) => {
    const image = await decodeImage(new Uint8Array(fs.readFileSync(path.join(goldenDir, 'images', name))));
    expect([image.width, image.height]).toEqual(info[name]!.size);
    // Equal to the byte, JPEG too: mozjpeg's decoder is libjpeg-turbo's.
    expect(Buffer.compare(image.data, arrays[`decoded.${name}`]!.data as Uint8Array)).toBe(0);
  });
});

describe('decodeImage equals Pillow\'s convert("RGB")', () => {
  test.each(Object.keys(expected))('%s', async (name) => {
    const image = await decodeImage(fixture(name));
    expect({size: [image.width, image.height], sha256: sha256(image.data)}).toEqual({
      size: expected[name]!.size,
      sha256: expected[name]!.sha256,
    });
  });
  test.each(Object.keys(expected).filter((name) => expected[name]!.applied))(
    '%s turned by its EXIF orientation',
    async (name) => {
      const image = await decodeImage(fixture(name), {exif: 'apply'});
      expect({size: [image.width, image.height], sha256: sha256(image.data)}).toEqual(expected[name]!.applied);
    },
  );
});

test('decodeImage: jumps inside BMP run lengths and an early end leave colour 0', async () => {
  // Pillow 11.3 reads a jump's two bytes twice, so this one is by hand: 3 × 2, the lower row first.
  const header = Buffer.alloc(54 + 1024);
  header.write('BM');
  header.writeUInt32LE(54 + 1024, 10);
  header.writeUInt32LE(40, 14);
  header.writeInt32LE(3, 18);
  header.writeInt32LE(2, 22);
  header.writeUInt16LE(8, 28);
  header.writeUInt32LE(1, 30);
  for (let i = 0; i < 256; i++) header.fill(i, 54 + i * 4, 54 + i * 4 + 3);
  const {data} = await decodeImage(
    new Uint8Array(Buffer.concat([header, Buffer.from([1, 7, 0, 2, 1, 1, 1, 9, 0, 1])])),
  );
  expect(Array.from(data).filter((_, i) => i % 3 === 0)).toEqual([0, 0, 9, 7, 0, 0]);
});

describe('decodeImage refuses', () => {
  const refuse = (bytes: Uint8Array, code: string, message = '') =>
    expect(decodeImage(bytes)).rejects.toMatchObject({code, exitCode: 1, message: expect.stringContaining(message)});
  const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
  test('an empty file, a text, other formats', async () => {
    await refuse(new Uint8Array(), 'image-empty');
    await refuse(ascii('this is a text file\n'), 'image-format', 'text');
    await refuse(ascii('II*\0abcdefgh'), 'image-corrupt', 'TIFF');
    await refuse(ascii('\0\0\0 ftypheic'), 'image-format', 'HEIC');
    await refuse(Uint8Array.of(0, 1, 2), 'image-format', '00 01 02');
    await refuse(ascii('BM'), 'image-format');
  });

  const whole = ['jpeg-422.jpg', 'png-2-8.png', 'webp-lossy.webp', 'gif-still.gif', 'bmp-24.bmp', 'tiff-rgb.tif'];
  test.each(whole)('%s cut off anywhere', async (name) => {
    const bytes = fixture(name);
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.9])
      await refuse(bytes.subarray(0, Math.floor(bytes.length * share)), 'image-corrupt');
  });
  test('a JPEG that lacks only its end mark, as PIL does, but not a PNG that lacks its end chunk', async () => {
    await refuse(fixture('jpeg-422.jpg').subarray(0, -1), 'image-corrupt', 'end mark');
    const name = 'png-2-8.png';
    expect(sha256((await decodeImage(fixture(name).subarray(0, -12))).data)).toBe(expected[name]!.sha256);
  });

  const png = (width: number, height: number): Uint8Array => {
    const chunk = Buffer.from('IHDR\0\0\0\0\0\0\0\0\x08\x02\0\0\0', 'latin1');
    chunk.writeUInt32BE(width, 4);
    chunk.writeUInt32BE(height, 8);
    const crc = Buffer.alloc(4);
    crc.writeUInt32BE(zlib.crc32(chunk));
    return new Uint8Array(Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\x0d', 'latin1'), chunk, crc]));
  };
  const patched = (name: string, at: number, values: number[]): Uint8Array => {
    const bytes = fixture(name);
    bytes.set(values, at);
    return bytes;
  };
  const frame = (bytes: Uint8Array): number => Buffer.from(bytes).indexOf(Buffer.from([0xff, 0xc0]));
  test('20,000 × 20,000 pixels in every format, by the header alone', async () => {
    await refuse(png(20000, 20000), 'image-too-large', '20000 × 20000');
    const two = [20000 & 255, 20000 >> 8];
    await refuse(patched('gif-still.gif', 6, [...two, ...two]), 'image-too-large');
    await refuse(patched('bmp-24.bmp', 18, [...two, 0, 0, ...two, 0, 0]), 'image-too-large');
    const big = [20000 >> 8, 20000 & 255];
    await refuse(patched('jpeg-422.jpg', frame(fixture('jpeg-422.jpg')) + 5, [...big, ...big]), 'image-too-large');
    await refuse(patched('webp-lossy.webp', 26, [0xff, 0x3f, 0xff, 0x3f]), 'image-too-large', '16383 × 16383');
  });
  test('pictures above a lowered limit', async () => {
    await expect(decodeImage(fixture('bmp-24.bmp'), {maxPixels: 314})).rejects.toMatchObject({code: 'image-too-large'});
    expect((await decodeImage(fixture('bmp-24.bmp'), {maxPixels: 315})).width).toBe(21);
  });
  test('a PNG that unpacks to more than its header says', async () => {
    const bomb = zlib.deflateSync(Buffer.alloc(10_000_000));
    const idat = Buffer.concat([Buffer.alloc(4), Buffer.from('IDAT'), bomb, Buffer.alloc(4)]);
    idat.writeUInt32BE(bomb.length);
    await refuse(new Uint8Array(Buffer.concat([png(2, 2), idat])), 'image-corrupt', 'unpacked');
  });

  test('damaged bytes with an InputError, never another error, or gives a picture', async () => {
    const names = [
      'png-2-8.png',
      'png-3-4-interlaced.png',
      'gif-animated.gif',
      'bmp-rle8.bmp',
      'bmp-565.bmp',
      'webp-animated-alpha.webp',
      'jpeg-restart.jpg',
      'jpeg-cmyk-422-restart.jpg',
      'jpeg-cmyk-progressive.jpg',
      'tiff-rgb-predictor.tif',
      'tiff-packbits.tif',
      'png-xmp7-packed.png',
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.array(fc.tuple(fc.double({min: 0, max: 0.999, noNaN: true}), fc.nat(255)), {minLength: 1, maxLength: 6}),
        async (name, edits) => {
          const bytes = fixture(name);
          for (const [where, value] of edits) bytes[Math.floor(where * bytes.length)] = value;
          const result = await decodeImage(bytes, {maxPixels: 200_000}).catch((error: unknown) => error);
          if (result instanceof Error) expect(result).toBeInstanceOf(MueError);
          else expect((result as {data: Uint8Array}).data.length % 3).toBe(0);
        },
      ),
      {numRuns: 300},
    );
  });
});
