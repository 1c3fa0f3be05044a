import {mergeRecordings} from '../../../src/calibration/recording/merge.js';
import {UsageError} from '../../../src/runtime/errors.js';
import {SYNTHETIC_HEADER, syntheticRecording} from '../../support/data/synthetic-recording.js';

test('mergeRecordings: items of both in order, with their scores, under the header of the first', () => {
  const [a, b] = [syntheticRecording(3), syntheticRecording(2, {seed: 9, header: {...SYNTHETIC_HEADER, data: 'ee'}})];
  const pool = mergeRecordings(a, b);
  expect([pool.n, pool.header.data]).toEqual([5, SYNTHETIC_HEADER.data]);
  expect(pool.rows).toEqual([...a.rows, ...b.rows]);
  expect([...pool.labels]).toEqual([...a.labels, ...b.labels]);
  expect([...pool.logits]).toEqual([...a.logits, ...b.logits]);
  for (const {stack} of pool.header.stacks)
    expect([...pool.similarity[stack]!]).toEqual([...a.similarity[stack]!, ...b.similarity[stack]!]);
});

test('mergeRecordings: refuses recordings of different models', () => {
  const other = syntheticRecording(3, {header: {...SYNTHETIC_HEADER, model: '00'}});
  expect(() => mergeRecordings(syntheticRecording(3), other)).toThrow(UsageError);
});
