import {type EvaluationOptions, evaluate} from '../../src/evaluation/evaluate.js';
import {evaluationMetrics} from '../../src/evaluation/metrics.js';
import {type EvaluationRow, evaluationRowSchema} from '../../src/evaluation/row.js';
import {inShard, parseShard, partOfShard, shardName} from '../../src/evaluation/shard.js';
import type {DatasetItem, DatasetTask} from '../../src/data/dataset.js';
import {AbortError, InputError, UsageError, WeightsError} from '../../src/runtime/errors.js';
import {StubAnswerer, stubDataset, stubItems, stubRun} from '../support/data/stub-evaluation.js';

const GRAY = {width: 1, height: 1, data: new Uint8Array(3)};

async function run(
  task: DatasetTask,
  items: readonly DatasetItem[],
  change: Partial<EvaluationOptions> = {},
): Promise<{rows: EvaluationRow[]; failed: {index: number; code: string}[]; read: number; total: number}> {
  const rows: EvaluationRow[] = [];
  const failed: {index: number; code: string}[] = [];
  let read = 0;
  const {rows: total} = await evaluate(stubDataset(items), {
    task,
    answerer: new StubAnswerer(),
    readPicture: async () => {
      read++;
      return GRAY;
    },
    warmup: 0,
    onRow: (row) => rows.push(row),
    onFailed: (_item, index, {code}) => failed.push({index, code}),
    ...change,
  });
  return {rows, failed, read, total};
}

test('evaluate: a row holds question, answer and costs, times last', async () => {
  const {rows} = await run('snli-ve', stubItems('snli-ve', 10), {trace: true});
  expect(rows[9]).toEqual({
    index: 9,
    id: 'row 9',
    image_id: '10',
    answer: 'yes',
    score: -0.109,
    scores: {no: -3, yes: -0.109, maybe: -5},
    label: 'no',
    correct: 0,
    layers: {'encoder.image': 2, 'encoder.text': 1, decoder: 2},
    macs: {run: 600, full: 1000},
    extra: {difficulty: 2},
    // NaN is no JSON.
    exits: [{stack: 'encoder.image', layer: 2, scores: [0.5, null], thresholds: [0.6, 0.6]}],
    ms: expect.any(Object),
  });
  expect(Object.keys(rows[9]!).at(-1)).toBe('ms');
  expect(evaluationRowSchema.parse(JSON.parse(JSON.stringify(rows[9])))).toEqual(rows[9]);
  expect(rows[9]!.ms.total).toBeCloseTo(rows[9]!.ms.image + 1 + rows[9]!.ms.encode + 3, 2);
});

test('evaluationMetrics: of entailment, accuracy, confusion matrix, layers, MACs and layers saved', async () => {
  const {rows} = await run('snli-ve', stubItems('snli-ve', 30));
  const metrics = evaluationMetrics(rows, stubRun('snli-ve'), {unreadable: 1, failed: 2});
  expect(metrics).toMatchObject({
    task: 'snli-ve',
    n: 30,
    metrics: {accuracy: 0.9},
    // Rows 9, 19 and 29 are wrong: no → yes, yes → maybe, maybe → no.
    confusion: {
      classes: ['yes', 'no', 'maybe'],
      counts: [
        [9, 0, 1],
        [1, 9, 0],
        [0, 1, 9],
      ],
    },
    layers: {'encoder.image': 2, 'encoder.text': 1, decoder: (8 * 1 + 8 * 2 + 7 * 3 + 7 * 4) / 30},
    macs: {run: 600, full: 1000},
    bad: {unreadable: 1, failed: 2},
  });
  expect(metrics.etr).toBeCloseTo(1 - (1.5 + 73 / 30) / 12, 12);
  expect(metrics.ms.p50).toBeGreaterThan(9);
  expect(Object.keys(metrics).slice(-3)).toEqual(['ms', 'seconds', 'overhead']);
});

test('evaluationMetrics: of captions, six metrics; a decoder depth is the mean over its steps', async () => {
  const {rows} = await run('caption', stubItems('caption', 4));
  const {metrics, layers, etr} = evaluationMetrics(rows, stubRun('caption'), {unreadable: 0, failed: 0});
  expect(Object.keys(metrics)).toEqual(['BLEU-1', 'BLEU-2', 'BLEU-3', 'BLEU-4', 'ROUGE-L', 'CIDEr-D']);
  // The answer is one of the references, word for word.
  expect(metrics['BLEU-4']).toBeCloseTo(1, 8);
  expect(metrics['ROUGE-L']).toBeCloseTo(1, 12);
  expect(layers.decoder).toBeCloseTo(10 / 3, 12);
  expect(etr).toBeCloseTo(1 - (1.5 + 10 / 3) / 12, 12);
});

test('evaluationMetrics: of questions, the confidence of the answer; rows without answers do not count', async () => {
  const items = stubItems('vqa', 7).map(({answers, ...item}, i) => (i === 6 ? item : {...item, answers: answers!}));
  const {rows} = await run('vqa', items);
  expect(rows.map(({correct}) => correct)).toEqual([1, 0.5, 0, 1, 0.5, 0, undefined]);
  expect(evaluationMetrics(rows, stubRun('vqa'), {unreadable: 0, failed: 0})).toMatchObject({
    n: 7,
    labelled: 6,
    metrics: {accuracy: 0.5},
  });
});

test('evaluationMetrics: of no rows, one row, or no label, null and no metrics, never NaN', async () => {
  const none = evaluationMetrics([], stubRun('caption'), {unreadable: 0, failed: 3});
  expect(JSON.parse(JSON.stringify(none))).toEqual(none);
  expect(none).toMatchObject({
    n: 0,
    metrics: {},
    etr: null,
    macs: {run: null, full: null},
    ms: {p50: null},
    overhead: {total: null},
  });
  for (const task of ['caption', 'snli-ve', 'vqa'] as const) {
    const {rows} = await run(task, stubItems(task, 1));
    const one = evaluationMetrics(rows, stubRun(task), {unreadable: 0, failed: 0});
    expect(JSON.parse(JSON.stringify(one))).toEqual(one);
    expect(one.n).toBe(1);
  }
  const bare = stubItems('caption', 2).map(({references: _, ...item}) => item);
  const {rows} = await run('caption', bare);
  expect(evaluationMetrics(rows, stubRun('caption'), {unreadable: 0, failed: 0})).toMatchObject({
    n: 2,
    labelled: 0,
    metrics: {},
  });
});

test('evaluate: decodes a picture that rows in succession share once, and counts it for each', async () => {
  const {rows, read} = await run('snli-ve', stubItems('snli-ve', 9));
  expect(read).toBe(3);
  expect(new Set(rows.map(({image_id, ms}) => `${image_id} ${ms.image}`)).size).toBe(3);
  // An id that stands for another file is another picture.
  const liars = stubItems('snli-ve', 3).map((item, i) => ({...item, image: {bytes: new Uint8Array([i])}}));
  expect((await run('snli-ve', liars)).read).toBe(3);
});

test('shards: a partition of the rows, whatever the limit; parts of a shard are a partition of it', async () => {
  const items = stubItems('snli-ve', 23);
  for (const limit of [undefined, 1, 10]) {
    const whole = (await run('snli-ve', items, {limit})).rows.map(({index}) => index);
    const parts: number[] = [];
    for (const index of [0, 1, 2])
      parts.push(...(await run('snli-ve', items, {limit, shard: {index, count: 3}})).rows.map((row) => row.index));
    expect(parts.sort((a, b) => a - b)).toEqual(whole);
  }
  const part = {index: 1, count: 3};
  for (let row = 0; row < 50; row++) {
    const owners = [0, 1, 2, 3].filter((j) => inShard(row, partOfShard(part, j, 4)));
    expect(owners.length).toBe(inShard(row, part) ? 1 : 0);
  }
  expect(parseShard('3/12')).toEqual({index: 3, count: 12});
  expect(shardName(parseShard('3/12'))).toBe('shard-03-of-12');
  for (const text of ['4/4', '-1/4', '1', '1/0', 'a/b', '0.5/2', ''])
    expect(() => parseShard(text)).toThrow(UsageError);
});

test('evaluate: reports and leaves out what cannot be answered: a picture, a text, a score of NaN', async () => {
  const items: DatasetItem[] = stubItems('snli-ve', 12).map((item, i) => ({
    ...item,
    imageId: String(i),
    image: {path: `${i}.jpg`},
  }));
  const {text: _, ...mute} = items[4]!;
  items[4] = mute;
  const {rows, failed, total} = await run('snli-ve', items, {
    // Row 4 is not asked.
    answerer: new StubAnswerer((answer, asked) => ({...answer, score: asked === 7 ? Number.NaN : answer.score})),
    readPicture: async (image) => {
      if ('path' in image && image.path === '2.jpg') throw new InputError('image-unreadable', 'no such file');
      return GRAY;
    },
  });
  expect(total).toBe(12);
  expect(failed).toEqual([
    {index: 2, code: 'image-unreadable'},
    {index: 4, code: 'text-missing'},
    {index: 8, code: 'score-not-finite'},
  ]);
  expect(rows.length).toBe(9);
});

test('evaluate: an error that every row would meet ends the run', async () => {
  const broken = new StubAnswerer(() => {
    throw new WeightsError('weights', 'gone');
  });
  await expect(run('caption', stubItems('caption', 3), {answerer: broken})).rejects.toThrow(WeightsError);
  const controller = new AbortController();
  controller.abort();
  await expect(run('caption', stubItems('caption', 3), {signal: controller.signal})).rejects.toThrow(AbortError);
});

test('evaluate: warming up answers the first row more often, and adds no row', async () => {
  const answerer = new StubAnswerer();
  const {rows} = await run('caption', stubItems('caption', 2), {answerer, warmup: 3});
  expect([rows.length, answerer.asked]).toEqual([2, 5]);
});

test('evaluate: batches are neighbours of the shard; a row that cannot be answered spoils no other', async () => {
  const items: DatasetItem[] = stubItems('snli-ve', 12).map((item, i) => ({
    ...item,
    imageId: String(i),
    image: {path: `${i}.jpg`},
  }));
  const {text: _, ...mute} = items[4]!;
  items[4] = mute;
  const sizes: number[] = [];
  const counting = class extends StubAnswerer {
    override entailAll(questions: readonly {hypothesis: string}[]) {
      sizes.push(questions.length);
      return super.entailAll(questions);
    }
  };
  const change: Partial<EvaluationOptions> = {
    batch: 3,
    shard: {index: 0, count: 2},
    readPicture: async (image) => {
      if ('path' in image && image.path === '6.jpg') throw new InputError('image-unreadable', 'no such file');
      return GRAY;
    },
  };
  const {rows, failed} = await run('snli-ve', items, {...change, answerer: new counting()});
  const {rows: single} = await run('snli-ve', items, {...change, batch: 1});
  const timeless = (all: readonly EvaluationRow[]) => all.map(({ms: _ms, ...row}) => row);
  expect(timeless(rows)).toEqual(timeless(single));
  expect(rows.map(({index}) => index)).toEqual([0, 2, 8, 10]);
  expect(failed).toEqual([
    {index: 4, code: 'text-missing'},
    {index: 6, code: 'image-unreadable'},
  ]);
  expect(sizes).toEqual([1, 1, 2]);
});

test('evaluate: batches are the same rows whatever is done; one with missing rows is answered whole', async () => {
  const answerer = new StubAnswerer();
  const done = new Map([0, 1, 2, 4].map((i) => [i, `row ${i}`]));
  const {rows} = await run('caption', stubItems('caption', 8), {answerer, batch: 3, done});
  expect(rows.map(({index}) => index)).toEqual([3, 5, 6, 7]);
  expect(answerer.asked).toBe(5);
});

test('evaluate: does not ask done rows again; another row in the place of one is an error', async () => {
  const answerer = new StubAnswerer();
  const {rows} = await run('caption', stubItems('caption', 4), {
    answerer,
    done: new Map([
      [0, 'row 0'],
      [2, 'row 2'],
    ]),
  });
  expect(rows.map(({index}) => index)).toEqual([1, 3]);
  await expect(run('caption', stubItems('caption', 4), {done: new Map([[1, 'row 9']])})).rejects.toThrow(
    /row 1 was 'row 9'/,
  );
});
