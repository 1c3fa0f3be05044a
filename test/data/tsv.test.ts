import fc from 'fast-check';
import type {BadRow, DatasetItem} from '../../src/data/dataset.js';
import {parseColumns, readTsv} from '../../src/data/tsv.js';
import {chunks, collect} from '../support/data/chunks.js';
import {goldenBytes} from '../support/golden/golden.js';

const bytesOf = (item: DatasetItem): Uint8Array => ('bytes' in item.image ? item.image.bytes : new Uint8Array());

/** The cells of a set's file, row by row. */
const cells = (name: string): string[][] =>
  new TextDecoder()
    .decode(goldenBytes(name))
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
const LABELS: Readonly<Record<string, string>> = {entailment: 'yes', contradiction: 'no', neutral: 'maybe'};

describe("readTsv, the authors' files", () => {
  test('captions, columns as in their test script', async () => {
    const columns = parseColumns('1,4,2', 'caption');
    const items = await collect(readTsv(chunks(goldenBytes('caption.tsv'), 1000), {task: 'caption', columns}));
    expect(items.length).toBeGreaterThan(0);
    expect(items.map((item) => [item.id, bytesOf(item), item.references!.join('&&')])).toEqual(
      cells('caption.tsv').map((row) => [row[1], fromBase64(row[4]!), row[2]]),
    );
  });
  test('entailment, columns by default', async () => {
    const items = await collect(readTsv(chunks(goldenBytes('snli_ve.tsv'), 4096), {task: 'snli-ve'}));
    expect(items.length).toBeGreaterThan(0);
    expect(items.map((item) => [item.id, bytesOf(item), item.text, item.premise, item.label, item.line])).toEqual(
      cells('snli_ve.tsv').map(([id, , image, text, premise, label], i) => [
        id,
        fromBase64(image!),
        text,
        premise,
        LABELS[label!],
        i + 1,
      ]),
    );
  });
  test('questions, columns as in their script', async () => {
    const columns = parseColumns('0,5,2,3,4', 'vqa');
    const items = await collect(readTsv(chunks(goldenBytes('vqa.tsv'), 4096), {task: 'vqa', columns}));
    expect(items.length).toBeGreaterThan(0);
    // The file has the picture in column 5 and the objects in column 4.
    expect(
      items.map((item) => [item.id, bytesOf(item), item.text, [...item.answers!], (item.objects ?? []).join('&&')]),
    ).toEqual(
      cells('vqa.tsv').map((row) => [
        row[0],
        fromBase64(row[5]!),
        row[2],
        row[3]!.split('&&').map((answer) => {
          const [confidence, word] = answer.split('|!+');
          return [word, Number(confidence)];
        }),
        row[4],
      ]),
    );
  });
});

test('readTsv: any cells come back, in any chunks', async () => {
  const cell = fc.string({unit: 'grapheme', maxLength: 10}).map((text) => text.replace(/[\t\n\r&\ufeff]/g, '_'));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({id: cell, text: cell, bytes: fc.uint8Array({minLength: 1, maxLength: 40})})),
      fc.integer({min: 1, max: 50}),
      async (rows, size) => {
        const kept = rows.filter(({text}) => text !== '');
        const file = kept
          .map(({id, text, bytes}) => `${id}\tx\t${Buffer.from(bytes).toString('base64url')}\t${text}\n`)
          .join('');
        const items = await collect(
          readTsv(chunks(file, size), {task: 'snli-ve', columns: {id: 0, image: 2, text: 3}}),
        );
        expect(items.map((item) => [item.id, item.text, Array.from(bytesOf(item)), item.line])).toEqual(
          kept.map(({id, text, bytes}, i) => [id, text, Array.from(bytes), i + 1]),
        );
      },
    ),
  );
});

test('readTsv: takes columns by name, after a header line', async () => {
  const file = 'question\tpicture\tkey\nwhere?\tAAAA\tq1\n';
  const columns = parseColumns('key,picture,question', 'vqa');
  expect(await collect(readTsv(chunks(file), {task: 'vqa', columns}))).toMatchObject([
    {id: 'q1', text: 'where?', line: 2},
  ]);
  const wrong = parseColumns('key,image,question', 'vqa');
  await expect(collect(readTsv(chunks(file), {task: 'vqa', columns: wrong}))).rejects.toMatchObject({
    code: 'bad-columns',
    exitCode: 2,
  });
});

test.each(['', '1', '1,,2', '0,1,2,3,4,5,6'])('parseColumns: refuses %j', (selected) => {
  expect(() => parseColumns(selected, 'snli-ve')).toThrow(expect.objectContaining({code: 'bad-columns'}));
});

test('readTsv: reports bad rows with their line, and skips them', async () => {
  const rows = [
    'a\ti\tAAAA\thypothesis\tpremise\tentailment',
    'too\tshort',
    'c\ti\tAA*A\thypothesis\tpremise\tneutral',
    'd\ti\tAAAA\thypothesis\tpremise\tperhaps',
    'e\ti\t\thypothesis\tpremise\tneutral',
    'f\ti\tAAAA\t\tpremise\tneutral',
    'g\ti\tAAAA\thypothesis\tpremise\tneutral',
  ];
  const bad: BadRow[] = [];
  const items = await collect(readTsv(chunks(rows.join('\n')), {task: 'snli-ve', onBadRow: (row) => bad.push(row)}));
  expect(items.map(({id, label}) => [id, label])).toEqual([
    ['a', 'yes'],
    ['g', 'maybe'],
  ]);
  expect(bad.map(({line}) => line)).toEqual([2, 3, 4, 5, 6]);
  expect(bad.every(({line, error}) => error.code === 'bad-row' && error.message.includes(`line ${line}`))).toBe(true);
  await expect(collect(readTsv(chunks('a\tb'), {task: 'vqa'}))).rejects.toMatchObject({code: 'bad-row'});
  const answers = readTsv(chunks('a\ti\twhy?\tcat\tx\tAAAA'), {task: 'vqa'});
  await expect(collect(answers)).rejects.toMatchObject({message: expect.stringContaining('confidence')});
});
