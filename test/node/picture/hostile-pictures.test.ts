import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import zlib from 'node:zlib';
import {decodeImage} from '../../../src/node/picture/decode.js';
import {openPicture} from '../../../src/node/picture/decode-here.js';

const fault = (name: string): Uint8Array => new Uint8Array(fs.readFileSync(`test/fixtures/faults/${name}`));
const fixture = (name: string): Uint8Array => new Uint8Array(fs.readFileSync(`test/fixtures/images/${name}`));

test.each(['rgb-two-frames.jpg', 'cmyk-two-frames.jpg'])(
  'decodeImage: %s is refused before it is decoded',
  async (name) => {
    await expect(decodeImage(fault(name))).rejects.toMatchObject({
      code: 'image-corrupt',
      message: expect.stringContaining('two frames'),
    });
  },
);

/** The picture with another size in its header. */
function resized(name: string, width: number, height: number): Uint8Array {
  const bytes = fixture(name);
  const frame = bytes.findIndex((byte, i) => byte === 0xff && (bytes[i + 1] === 0xc0 || bytes[i + 1] === 0xc2));
  bytes.set([height >> 8, height & 255, width >> 8, width & 255], frame + 5);
  return bytes;
}

/** A JPEG whose last scan comes `times` more. */
function repeatScan(bytes: Uint8Array, times: number): Uint8Array {
  const scan = bytes.subarray(Buffer.from(bytes).lastIndexOf(Buffer.from([0xff, 0xda])), -2);
  return Buffer.concat([bytes.subarray(0, -2), ...Array.from({length: times}, () => scan), bytes.subarray(-2)]);
}

describe('decodeImage: small files that ask for much', () => {
  const refused = (bytes: Uint8Array, limit: string) =>
    expect(decodeImage(bytes)).rejects.toMatchObject({
      code: 'image-too-large',
      message: expect.stringContaining(`the limit is ${limit}`),
    });
  test('a PNG of a hundred million rows: work', () => refused(fault('png-1x100000000.png'), '5 s'));
  test('a progressive JPEG of many scans: work', async () => {
    const picture = resized('jpeg-cmyk-progressive.jpg', 3000, 2000);
    await refused(repeatScan(picture, 400), '5 s');
    expect((await openPicture(picture)).cost.work).toBeLessThan(2e9);
  });
  test('a CMYK JPEG of 80 million pixels: work, before its coefficients are allocated', () =>
    refused(resized('jpeg-cmyk.jpg', 10000, 8000), '5 s'));
  test('an RGB JPEG of 90 million pixels with a coefficient a sample: work or memory', () =>
    refused(resized('jpeg-rgb.jpg', 10000, 9000), '5 s'));
  test('WebP of 52 million pixels: memory', () => {
    const bytes = fixture('webp-lossy.webp');
    bytes.set([7000 & 255, 7000 >> 8, 7500 & 255, 7500 >> 8], 26);
    return refused(bytes, '950 MB');
  });
  test('a file of more than 256 MB: its bytes', () => refused(new Uint8Array(256_000_001), '256000000'));
  test('a GIF of 35 bytes and a BMP of 1080 fill 100 million pixels within the limits', async () => {
    const gif = await openPicture(fault('gif-10000-1x1.gif'));
    expect([gif.width, gif.height, gif.cost.work]).toEqual([10000, 10000, expect.closeTo(8e8, -6)]);
    const bmp = await openPicture(fault('bmp-10000-rle8.bmp'));
    expect([bmp.width, bmp.height, bmp.cost.work]).toEqual([10000, 10000, expect.closeTo(2e9, -6)]);
  });
});

/** A PNG of one colour, 8-bit RGB. */
function largePng(width: number, height: number, color: readonly number[]): Uint8Array {
  const chunk = (type: string, data: Uint8Array): Buffer => {
    const named = Buffer.concat([Buffer.from(type), data]);
    const numbers = Buffer.alloc(8);
    numbers.writeUInt32BE(data.length);
    numbers.writeUInt32BE(zlib.crc32(named), 4);
    return Buffer.concat([numbers.subarray(0, 4), named, numbers.subarray(4)]);
  };
  const size = Buffer.alloc(13);
  size.writeUInt32BE(width);
  size.writeUInt32BE(height, 4);
  size.set([8, 2], 8);
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, Buffer.from(color))]);
  const pixels = zlib.deflateSync(Buffer.alloc(row.length * height, row), {level: 1});
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return new Uint8Array(Buffer.concat([signature, chunk('IHDR', size), chunk('IDAT', pixels)]));
}

describe('decodeImage: sound pictures of 24 million pixels', () => {
  test('PNG', async () => {
    const {width, height, data} = await decodeImage(largePng(6000, 4000, [9, 8, 7]));
    expect([width, height, ...data.subarray(-3)]).toEqual([6000, 4000, 9, 8, 7]);
  });
  test('JPEG', async () => {
    // What the file lacks of that size is gray.
    const {width, height} = await decodeImage(resized('jpeg-rgb.jpg', 6000, 4000));
    expect([width, height]).toEqual([6000, 4000]);
  });
});

test('decodeImage: a large picture is decoded in another thread, which ends when the signal fires', () => {
  const script = `
    import {readFileSync} from 'node:fs';
    import {decodeImage} from './dist/node.js';
    const large = readFileSync(0);
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('enough')), 0);
    const aborted = await decodeImage(large, {signal: controller.signal}).catch((error) => error);
    // This thread goes on while the other decodes: timers fire.
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    const {width, height, data} = await decodeImage(large);
    clearInterval(timer);
    const cut = await decodeImage(large.subarray(0, -3000)).catch((error) => error);
    const errors = [aborted, cut].map(({name, code, cause}) => [name, code, cause?.message]);
    console.log(JSON.stringify({errors, ticked: ticks > 0, picture: [width, height, ...data.subarray(-3)]}));
  `;
  const input = largePng(4000, 3000, [1, 2, 3]);
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    input,
    encoding: 'utf8',
    timeout: 100_000,
  });
  expect(JSON.parse(out)).toEqual({
    errors: [
      ['AbortError', 'aborted', 'enough'],
      ['InputError', 'image-corrupt', null],
    ],
    ticked: true,
    picture: [4000, 3000, 1, 2, 3],
  });
});
