import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import {decodeImage} from '../../src/node/picture/decode.js';
import type {Random} from '../../src/runtime/random.js';
import type {Target} from './campaign.js';
import {mutateBytes, pick} from './mutate.js';

const FOLDER = path.join(import.meta.dirname, '..', 'fixtures', 'images');
/** Words of each format, which changed bytes alone would hardly make. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  jpg: [
    '\xff\xd9',
    '\xff\xda',
    '\xff\xc0\0\x11\x08\x27\x10\x27\x10',
    '\xff\xc2\0\x11',
    '\xff\xc4\0\x1f',
    '\xff\xdd\0\x04\0\x01',
    '\xff\xe1\0\x10Exif\0\0',
    '\xff\xee\0\x0eAdobe',
  ],
  png: ['IHDR', 'IDAT', 'PLTE', 'IEND', 'eXIf', 'iTXt', 'zTXt', 'XML:com.adobe.xmp\0', '\xff\xff\xff\xff'],
  webp: ['VP8 ', 'VP8L', 'VP8X', 'ALPH', 'ANIM', 'ANMF', 'EXIF', 'XMP ', '\x9d\x01\x2a', '\xff\xff\xff\x3f'],
  gif: ['GIF89a', '\x21\xf9\x04\x01\0\0\x05\0', '\x2c', '\x3b', '\x21\xfe', '\x10\x27\x10\x27'],
  bmp: ['\x28\0\0\0', '\x0c\0\0\0', '\x7c\0\0\0', '\x01\0', '\x04\0', '\x20\0', '\0\x02\xff\xff', '\0\x01'],
  tif: ['II*\0', '\0\x01\x03\0', '\x11\x01\x04\0', '\x16\x01\x03\0', '\x05\0\0\0', '\x05\x80\0\0', '\xff\xff\xff\xff'],
};
const FORMATS = Object.keys(WORDS);
const SEEDS = new Map<string, Uint8Array[]>(FORMATS.map((format) => [format, []]));
for (const name of fs.readdirSync(FOLDER).sort())
  SEEDS.get(path.extname(name).slice(1))?.push(new Uint8Array(fs.readFileSync(path.join(FOLDER, name))));

/** Pictures of every format. */
export const pictures: Target = {
  name: 'pictures',
  seconds: 5,
  bytes: 1e9,
  async run(random) {
    const format = pick(FORMATS, random);
    const bytes = repaired(format, mutateBytes(pick(SEEDS.get(format)!, random), WORDS[format]!, random), random);
    const options = pick([{}, {exif: 'apply'}, {rgb: 'last'}] as const, random);
    const {width, height, data} = await decodeImage(new Uint8Array(bytes), options);
    if (data.length !== width * height * 3) throw new Error(`${width} × ${height}, but ${data.length} bytes`);
    return `decoded ${format}`;
  },
};

/** Mostly puts right what would be refused at once: checksums, lengths, the end mark. */
function repaired(format: string, bytes: Buffer, random: Random): Buffer {
  if (random.below(4) === 0) return bytes;
  if (format === 'webp' && bytes.length >= 8) bytes.writeUInt32LE(bytes.length - 8, 4);
  if (format === 'jpg') return Buffer.concat([bytes, Buffer.from([0xff, 0xd9])]);
  if (format === 'png')
    for (let at = 8; at + 12 <= bytes.length; ) {
      const end = at + 8 + bytes.readUInt32BE(at);
      if (end + 4 > bytes.length) break;
      bytes.writeUInt32BE(zlib.crc32(bytes.subarray(at + 4, end)), end);
      at = end + 4;
    }
  return bytes;
}
