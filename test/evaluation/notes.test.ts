import {dataNotes} from '../../src/evaluation/notes.js';
import type {EvaluationRow} from '../../src/evaluation/row.js';

const row = (id: string, image_id: string): EvaluationRow => ({id, image_id}) as EvaluationRow;

test('dataNotes: says nothing of an ordinary data set', () => {
  const rows = [row('1', 'a'), row('2', 'b')];
  expect(dataNotes('caption', rows, rows)).toEqual([]);
  // A picture is asked several questions, and a folder of pictures has no references.
  expect(dataNotes('vqa', [row('1', 'a'), row('2', 'a')], [row('1', 'a'), row('2', 'a')])).toEqual([]);
  expect(dataNotes('caption', rows, [])).toEqual([]);
});

test('dataNotes: says duplicate ids, rows without references, several rows of one picture, CIDEr-D of one picture', () => {
  const rows = [row('7', 'a'), row('7', 'a'), row('8', 'b')];
  expect(dataNotes('caption', rows, rows)).toEqual([
    '1 id of rows is not unique: 7',
    '1 picture has several rows (a): each row is scored by its own references alone; all references of a picture belong into one row',
  ]);
  expect(dataNotes('snli-ve', rows.slice(1), rows.slice(2))).toEqual([
    '1 of 2 rows have no label: they count in no score',
  ]);
  expect(dataNotes('caption', rows.slice(1), rows.slice(2))).toEqual([
    '1 of 2 rows have no references: they count in no score',
    'CIDEr-D weighs words by how few of the pictures have them: with one picture it is 0',
  ]);
  const many = Array.from({length: 10}, (_, i) => row(String(i % 5), String(i)));
  expect(dataNotes('vqa', many, many)).toEqual(['5 ids of rows are not unique: 0, 1, 2, …']);
});
