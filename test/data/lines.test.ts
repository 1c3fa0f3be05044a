import fc from 'fast-check';
import type {BadRow} from '../../src/data/dataset.js';
import {readLines} from '../../src/data/lines.js';
import {chunks, collect} from '../support/data/chunks.js';

test('readLines: any text in any chunks gives its lines with their numbers', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({unit: 'binary', maxLength: 12})),
      fc.integer({min: 1, max: 20}),
      async (parts, size) => {
        const lines = parts.map((part) => part.replace(/[\r\n]/g, '').replace(/^\ufeff/, ''));
        const expected = lines.map((text, i) => ({text, line: i + 1})).filter(({text}) => text !== '');
        expect(await collect(readLines(chunks(lines.join('\n'), size)))).toEqual(expected);
        expect(await collect(readLines(chunks(lines.map((line) => `${line}\r\n`).join(''), size)))).toEqual(expected);
      },
    ),
  );
});

test('readLines: drops a byte order mark at the start only', async () => {
  expect(await collect(readLines(chunks('\ufeffa\n\ufeffb', 2)))).toEqual([
    {text: 'a', line: 1},
    {text: '\ufeffb', line: 2},
  ]);
});

test('readLines: reports lines that are too long or no text, and reads the next', async () => {
  const bad: BadRow[] = [];
  const bytes = Buffer.concat([
    Buffer.from('good\n'),
    Buffer.alloc(1000, 65),
    Buffer.from('\n'),
    Buffer.from([0xff, 0xfe, 10]),
    Buffer.from('fine'),
  ]);
  const lines = await collect(
    readLines(chunks(new Uint8Array(bytes), 64), {maxLineBytes: 100, onBadRow: (row) => bad.push(row)}),
  );
  expect(lines).toEqual([
    {text: 'good', line: 1},
    {text: 'fine', line: 4},
  ]);
  expect(bad.map(({line, error}) => [line, error.code])).toEqual([
    [2, 'bad-row'],
    [3, 'bad-row'],
  ]);
  await expect(collect(readLines(chunks(new Uint8Array(bytes)), {maxLineBytes: 100}))).rejects.toMatchObject({
    code: 'bad-row',
  });
});
