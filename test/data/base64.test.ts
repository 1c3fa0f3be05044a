import fc from 'fast-check';
import {decodeBase64} from '../../src/data/base64.js';

test('decodeBase64: any bytes, both alphabets, with and without padding, broken into lines', () => {
  fc.assert(
    fc.property(fc.uint8Array({maxLength: 200}), (bytes) => {
      const standard = Buffer.from(bytes).toString('base64');
      const safe = standard.replaceAll('+', '-').replaceAll('/', '_');
      for (const text of [standard, safe, safe.replaceAll('=', ''), standard.replace(/(.{7})/g, '$1\r\n')]) {
        expect(Buffer.compare(decodeBase64(text), bytes)).toBe(0);
      }
    }),
  );
});

test.each([
  ['a comma', 'AB,D', '"," at position 2'],
  ['a character outside ASCII', 'AAAéAAAA', 'position 3'],
  ['cut off', 'AAAAA', 'cut off'],
  ['data after the padding', 'AA==AAAA', 'position 4'],
  ['too much padding', 'AA===', 'padding'],
  ['padding that does not fit', 'AAA==', 'padding'],
  ['only padding', '=', 'padding'],
])('%s is refused', (_, text, message) => {
  expect(() => decodeBase64(text)).toThrow(
    expect.objectContaining({code: 'bad-base64', message: expect.stringContaining(message)}),
  );
});
