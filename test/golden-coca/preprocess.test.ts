import fs from 'node:fs';
import path from 'node:path';
import {centreSquare} from '../support/data/resize.js';
import {type RgbImage, toPixels} from '../../src/data/image.js';
import {type DecodeOptions, decodeImage} from '../../src/node/picture/decode.js';
import {cocaArrays, cocaGoldenDir, cocaJson, describeCoca} from '../support/golden/golden-coca.js';

interface Case {
  readonly file: string;
  readonly same_as_rgb_first: boolean;
}
const MEAN = [0.48145466, 0.4578275, 0.40821073];
const STD = [0.26862954, 0.26130258, 0.27577711];

describeCoca("pictures become open_clip's pixels", ['preprocess.json', 'preprocess.safetensors', 'images'], () => {
  const {cases} = cocaJson<{cases: Record<string, Case>}>('preprocess.json');
  const arrays = cocaArrays('preprocess.safetensors');
  const square = async (name: string, options: DecodeOptions = {}): Promise<RgbImage> => {
    const bytes = fs.readFileSync(path.join(cocaGoldenDir, cases[name]!.file));
    return centreSquare(await decodeImage(bytes, options), Number(name.split('@')[1]));
  };

  test.each(Object.keys(cases))('%s, converted to RGB first', async (name) => {
    const {data} = await square(name);
    const key = cases[name]!.same_as_rgb_first ? 'uint8_hwc' : 'rgb_first.uint8_hwc';
    expect(Buffer.compare(data, arrays[`${name}.${key}`]!.data as Uint8Array)).toBe(0);
  });

  test.each(Object.keys(cases))('%s, converted to RGB last, as the reference does', async (name) => {
    const {data} = await square(name, {rgb: 'last'});
    expect(Buffer.compare(data, arrays[`${name}.uint8_hwc`]!.data as Uint8Array)).toBe(0);
  });

  const normalised = Object.keys(arrays).filter((key) => key.endsWith('.float_chw'));
  test('there are normalised pictures', () => {
    expect(normalised.length).toBeGreaterThan(0);
  });
  test.each(normalised)('%s', async (key) => {
    const data = arrays[key]!.data as Float32Array;
    const image = await square(key.replace('.float_chw', ''));
    const area = image.width * image.height;
    // Exact to the last bit: each value is one of 256 a channel.
    expect(toPixels(image, MEAN, STD)).toEqual(
      Float32Array.from(data, (_, i) => data[(i % 3) * area + Math.floor(i / 3)]!),
    );
  });
});
