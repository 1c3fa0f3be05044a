import fc from 'fast-check';
import type {BadRow} from '../../src/data/dataset.js';
import {jsonArrayItems} from '../../src/data/json-array.js';
import {readJsonl} from '../../src/data/jsonl.js';
import {readKarpathy} from '../../src/data/karpathy.js';
import {chunks, collect} from '../support/data/chunks.js';

const imagePath = (name: string): string => `/pictures/${name}`;
const lines = (...rows: unknown[]): string => rows.map((row) => JSON.stringify(row)).join('\n');

describe('readJsonl', () => {
  test('reads plain rows', async () => {
    const file = lines(
      {image: 'a.jpg', references: ['one', 'two'], difficulty: 3},
      {id: 7, imageId: 'p', image: 'b.jpg', text: 'what?', answers: {yes: 1, no: 0.3}},
      {
        image: 'b.jpg',
        text: 'it rains',
        premise: 'a street',
        label: 'entailment',
        answers: [
          ['10', 1],
          ['2', 0.5],
        ],
      },
      {image: 'b.jpg', answers: ['red'], objects: ['car']},
    );
    expect(await collect(readJsonl(chunks(file), {task: 'caption', imagePath}))).toEqual([
      {
        id: '1',
        imageId: 'a.jpg',
        image: {path: '/pictures/a.jpg'},
        references: ['one', 'two'],
        extra: {difficulty: 3},
        line: 1,
      },
      {
        id: '7',
        imageId: 'p',
        image: {path: '/pictures/b.jpg'},
        text: 'what?',
        answers: new Map([
          ['yes', 1],
          ['no', 0.3],
        ]),
        line: 2,
      },
      {
        id: '3',
        imageId: 'b.jpg',
        image: {path: '/pictures/b.jpg'},
        text: 'it rains',
        premise: 'a street',
        label: 'yes',
        answers: new Map([
          ['10', 1],
          ['2', 0.5],
        ]),
        line: 3,
      },
      {
        id: '4',
        imageId: 'b.jpg',
        image: {path: '/pictures/b.jpg'},
        answers: new Map([['red', 1]]),
        objects: ['car'],
        line: 4,
      },
    ]);
  });

  test('reads SNLI-VE, both spellings of its picture field, without rows of no agreement', async () => {
    const row = {sentence1: 'A man.', sentence2: 'A person.', pairID: 'p1'};
    const file = lines(
      {...row, gold_label: 'entailment', Flickr30K_ID: '4705552913'},
      {...row, gold_label: '-', Flickr30K_ID: '4705552913'},
      {...row, gold_label: 'neutral', Flikr30kID: '4705552913.jpg', pairID: 'p3'},
    );
    const item = {
      imageId: '4705552913',
      image: {path: '/pictures/4705552913.jpg'},
      text: 'A person.',
      premise: 'A man.',
    };
    expect(await collect(readJsonl(chunks(file), {task: 'snli-ve', imagePath}))).toEqual([
      {...item, id: 'p1', label: 'yes', line: 1},
      {...item, id: 'p3', label: 'maybe', line: 3},
    ]);
  });

  test('reports bad rows and skips them', async () => {
    const bad: BadRow[] = [];
    const file = [
      '{"image": "a.jpg", "text": "t"}',
      '{"image": ',
      '[1]',
      lines({text: 't'}, {image: 'a', text: 5, label: 'no'}, {image: 'a'}),
      lines(
        {image: 'a', text: {}},
        {image: 'a', text: 't', label: 'sure'},
        {image: 'a', text: 't', answers: {a: 'x'}},
        {image: 'a', text: 't', answers: []},
        {image: 'a', text: 't', references: 'one'},
        {gold_label: 'neutral', sentence2: 't'},
      ),
    ].join('\n');
    const items = await collect(readJsonl(chunks(file), {task: 'vqa', imagePath, onBadRow: (row) => bad.push(row)}));
    expect(items.map(({line, text}) => [line, text])).toEqual([
      [1, 't'],
      [5, '5'],
    ]);
    expect(bad.map(({line}) => line)).toEqual([2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
    expect(bad.every(({error}) => error.code === 'bad-row')).toBe(true);
  });
});

describe('jsonArrayItems', () => {
  test('yields any elements, in any chunks, whatever stands around them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.jsonValue({maxDepth: 3})),
        fc.jsonValue(),
        fc.integer({min: 1, max: 40}),
        fc.boolean(),
        async (items, other, size, pretty) => {
          const decoys = {'x"images': [1], deep: {images: [2]}, text: '"images": [3', other};
          const file = JSON.stringify({...decoys, images: items, last: other}, null, pretty ? 2 : undefined);
          expect(JSON.stringify(await collect(jsonArrayItems(chunks(file, size), 'images')))).toBe(
            JSON.stringify(items),
          );
        },
      ),
    );
  });
  test.each([
    ['no such array', '{"pictures": []}', 'no array'],
    ['the name only as a value', '{"a": "images", "b": [1]}', 'no array'],
    ['cut off', '{"images": [{"a": 1}, {"a"', 'cut off'],
    ['broken', '{"images": [{"a" 1}]}', 'entry 1'],
    ['an empty element', '{"images": [1,]}', 'entry 2'],
    ['not JSON at all', 'images', 'no array'],
  ])('%s', async (_, file, message) => {
    await expect(collect(jsonArrayItems(chunks(file), 'images'))).rejects.toMatchObject({
      code: 'bad-json',
      message: expect.stringContaining(message),
    });
  });
});

test("readKarpathy: reads COCO captions in Karpathy's splits", async () => {
  const bad: BadRow[] = [];
  const file = JSON.stringify({
    images: [
      {
        filepath: 'val2014',
        filename: 'a.jpg',
        split: 'test',
        cocoid: 5,
        sentences: [{raw: 'one', tokens: []}, {raw: 'two'}],
      },
      {filename: 'b.jpg', split: 'val', imgid: 1, sentences: [{raw: 'three'}]},
      {split: 'test', sentences: []},
      {filename: 'c.jpg', split: 'test', sentences: [{}]},
    ],
    dataset: 'coco',
  });
  const all = {imagePath, onBadRow: (row: BadRow) => bad.push(row)};
  const first = {id: '5', imageId: '5', image: {path: '/pictures/val2014/a.jpg'}, references: ['one', 'two'], line: 1};
  expect(await collect(readKarpathy(chunks(file), all))).toEqual([
    first,
    {id: '1', imageId: '1', image: {path: '/pictures/b.jpg'}, references: ['three'], line: 2},
  ]);
  expect(bad.map(({line}) => line)).toEqual([3, 4]);
  expect(await collect(readKarpathy(chunks(file), {...all, split: 'test'}))).toEqual([first]);
});
