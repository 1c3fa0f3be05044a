import fc from 'fast-check';
import type {BadRow} from '../../src/data/dataset.js';
import {jsonArrayItems} from '../../src/data/json-array.js';
import {readJsonl} from '../../src/data/jsonl.js';
import {readKarpathy} from '../../src/data/karpathy.js';
import {readTsv} from '../../src/data/tsv.js';
import {type JsonDatasetOptions, readJson} from '../../src/data/json-dataset.js';
import {answerScores} from '../../src/data/coco.js';
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

describe('readKarpathy: a split that is not there', () => {
  const file = JSON.stringify({images: ['test', 'val', 'val'].map((split) => ({filename: 'a', split, sentences: []}))});
  test('is an error that names those that are', async () => {
    await expect(collect(readKarpathy(chunks(file), {imagePath, split: 'tset'}))).rejects.toMatchObject({
      code: 'unknown-split',
      exitCode: 2,
      message: expect.stringContaining('"tset"'),
      hint: 'There are: test, val.',
    });
    expect((await collect(readKarpathy(chunks(file), {imagePath, split: 'val'}))).length).toBe(2);
  });
});

describe('readJson', () => {
  const read = (file: object, options: Partial<JsonDatasetOptions> & {answers?: object} = {}) => {
    const {answers, ...rest} = options;
    return collect(
      readJson(() => chunks(JSON.stringify(file), 30), {
        task: 'caption',
        findPicture: (names) => names.join(' | '),
        annotations: answers && (() => chunks(JSON.stringify(answers))),
        ...rest,
      }),
    );
  };
  const images = [
    {id: 5, file_name: 'p1.png', coco_url: 'http://images.cocodataset.org/val2017/p1.png'},
    {id: 6, file_name: 'p2.png'},
  ];
  const captions = [
    {id: 1, image_id: 5, caption: 'two cupcakes'},
    {id: 2, image_id: 5, caption: 'a cake'},
  ];
  const questions = [
    {image_id: 42, question: 'what?', question_id: 420},
    {image_id: 42, question: 'how many?', question_id: 421},
  ];
  const people = (...answers: string[]) => answers.map((answer, i) => ({answer, answer_id: i + 1}));
  const annotations = [{question_id: 420, image_id: 42, answers: people('a dog', 'a dog', 'cat')}];

  test("COCO's own captions, whichever of its lists comes first", async () => {
    const rows = [
      {
        id: '5',
        imageId: '5',
        image: {path: 'p1.png | val2017/p1.png'},
        references: ['two cupcakes', 'a cake'],
        line: 1,
      },
      {id: '6', imageId: '6', image: {path: 'p2.png'}, line: 2},
    ];
    expect(await read({info: {images: [1]}, images, annotations: captions})).toEqual(rows);
    expect(await read({annotations: captions, images})).toEqual(rows);
  });
  test('VQA v2: questions alone, with answers in the file, and in a file of their own', async () => {
    const row = {
      id: '420',
      imageId: '42',
      image: {
        path: [
          'COCO_val2014_000000000042.jpg | val2014/COCO_val2014_000000000042.jpg',
          '000000000042.jpg | val2014/000000000042.jpg | 42.jpg | val2014/42.jpg | 42.png | val2014/42.png',
        ].join(' | '),
      },
      text: 'what?',
      line: 1,
    };
    const file = {data_type: 'mscoco', data_subtype: 'val2014', questions};
    const answers = new Map([
      ['a dog', expect.closeTo(4 / 9)],
      ['cat', expect.closeTo(2 / 9)],
    ]);
    expect((await read(file, {task: 'vqa'}))[0]).toEqual(row);
    const [first, second] = await read({...file, annotations}, {task: 'vqa'});
    expect(first).toEqual({...row, answers});
    expect([second!.text, second!.answers]).toEqual(['how many?', undefined]);
    expect((await read(file, {task: 'vqa', answers: {info: {}, annotations}}))[0]).toEqual({...row, answers});
    const named = {questions, images: [{id: 42, file_name: 'x.jpg'}]};
    expect((await read(named, {task: 'vqa'}))[0]!.image).toEqual({path: 'x.jpg'});
    const plain = (await read({questions: [{image_id: 5, question: 'what?', question_id: 50}]}, {task: 'vqa'}))[0]!;
    expect(plain.image).toEqual({path: '000000000005.jpg | 5.jpg | 5.png'});
  });
  test.each<[string, object, Parameters<typeof read>[1], string]>([
    ['captions for a task that asks', {images}, {task: 'vqa'}, 'dataset-task'],
    ['the answers of VQA without the questions', {annotations}, {task: 'vqa'}, 'bad-json'],
    ['annotations of objects', {images, annotations: [{image_id: 5, bbox: []}]}, {}, 'bad-json'],
    ['a split of what has none', {images, annotations: captions}, {split: 'val'}, 'split-unused'],
    ['annotations beside captions', {images}, {answers: {annotations}}, 'annotations-unused'],
    ['an array of rows', [{image: 'a.jpg'}], {}, 'not-an-object'],
    ['an object of something else', {rows: []}, {}, 'bad-json'],
  ])('%s: an error', async (_, file, options, code) => {
    await expect(read(file, options)).rejects.toMatchObject({code});
  });
  test('rows that cannot be used are reported', async () => {
    const bad: BadRow[] = [];
    const onBadRow = (row: BadRow): void => void bad.push(row);
    const file = {questions: [{question: 'what?'}, 7, {image_id: 1, question: ''}, ...questions]};
    expect((await read(file, {task: 'vqa', onBadRow})).map(({line}) => line)).toEqual([4, 5]);
    expect((await read({images: [{file_name: 'a'}, {id: 1, file_name: ''}]}, {onBadRow})).length).toBe(0);
    expect(bad.map(({line}) => line)).toEqual([1, 2, 3, 1, 2]);
  });
});

test("answerScores: VQA's score of ten answers", () => {
  for (const [n, score] of [
    [1, 0.3],
    [2, 0.6],
    [3, 0.9],
    [4, 1],
    [10, 1],
  ] as const) {
    const given = Array.from({length: 10}, (_, i) => (i < n ? 'yes' : `other ${i}`));
    expect(answerScores(given).get('yes')).toBeCloseTo(score, 12);
  }
  expect(answerScores(['yes']).get('yes')).toBe(1);
});

describe('near relatives of JSON lines and TSV', () => {
  const picture = Buffer.from('picture').toString('base64');
  const bytes = Uint8Array.from(Buffer.from('picture'));
  const jsonl = (text: string, bad?: BadRow[]) =>
    collect(readJsonl(chunks(text), {task: 'caption', imagePath, onBadRow: bad && ((row) => bad.push(row))}));
  const tsv = (text: string, bad?: BadRow[]) =>
    collect(readTsv(chunks(text), {task: 'caption', onBadRow: bad && ((row) => bad.push(row))}));

  test.each([
    ['an array over several lines', '[\n {\n  "image": "a"\n }\n]\n', 'not-an-object'],
    ['an array on one line', '[{"image": "a"}]', 'not-an-object'],
    ['an object over several lines', '{\n "images": []\n}\n', 'not-json-lines'],
  ])('%s ends the reading, and is named', async (_, text, code) => {
    const bad: BadRow[] = [];
    await expect(jsonl(text, bad)).rejects.toMatchObject({code, hint: expect.stringContaining('jq')});
    expect(bad).toEqual([]);
  });
  test('data URLs are read', async () => {
    const url = `data:image/png;base64,${picture}`;
    expect(await jsonl(lines({image: url}))).toEqual([{id: '1', imageId: '1', image: {bytes}, line: 1}]);
    expect((await tsv(`1\t1\tx\t\t${url}`))[0]!.image).toEqual({bytes});
    expect((await tsv(`1\t1\tx\t\t${picture}`))[0]!.image).toEqual({bytes});
  });
  test("Python's b'…', data URLs without base64 and URLs are named, with a hint", async () => {
    const bad: BadRow[] = [];
    await tsv([`1\t1\tx\t\tb'${picture}'`, '2\t2\tx\t\tdata:image/png,%89PNG'].join('\n'), bad);
    await jsonl(lines({image: `b'${picture}'`}, {image: 'https://example.org/a.jpg'}), bad);
    expect(bad.map(({line, error}) => [line, error.message, error.hint])).toEqual([
      [1, expect.stringContaining("Python's b'…'"), expect.stringContaining('.decode()')],
      [2, expect.stringContaining('without base64'), undefined],
      [1, expect.stringContaining("Python's b'…'"), expect.stringContaining('.decode()')],
      [2, expect.stringContaining('is a URL'), expect.stringContaining('Download')],
    ]);
  });
  test('a header line is named, and the rows after it are read', async () => {
    const bad: BadRow[] = [];
    const rows = await tsv(`id\timage_id\tcaption\tobjects\timage\n1\t1\tx\t\t${picture}`, bad);
    expect(rows.map(({id}) => id)).toEqual(['1']);
    expect(bad.map(({line, error}) => [line, error.message])).toEqual([[1, 'line 1: it is a header line, not a row']]);
    expect(bad[0]!.error.hint).toContain('--columns');
  });
});
