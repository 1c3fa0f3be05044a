import fs from 'node:fs';
import {decodeImage} from '../../../src/node/picture/decode.js';

test.each(['rgb-two-frames.jpg', 'cmyk-two-frames.jpg'])(
  'decodeImage: %s is refused before it is decoded',
  async (name) => {
    const bytes = fs.readFileSync(`test/fixtures/faults/${name}`);
    await expect(decodeImage(bytes)).rejects.toMatchObject({
      code: 'image-corrupt',
      message: expect.stringContaining('two frames'),
    });
  },
);

test('decodeImage: a PNG of a hundred million rows is refused before it is unpacked', async () => {
  const bytes = fs.readFileSync('test/fixtures/faults/png-1x100000000.png');
  await expect(decodeImage(bytes)).rejects.toMatchObject({code: 'image-too-large'});
});
