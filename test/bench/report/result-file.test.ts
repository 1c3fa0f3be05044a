import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {formatResult, readResult, writeResult} from '../../../bench/report/result-file.js';
import {InputError} from '../../../src/runtime/errors.js';
import {result, row} from '../../support/bench-result.js';

describe('result file', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-'));
  afterAll(() => fs.rmSync(folder, {recursive: true}));

  test('formatResult: can be read back, one row a line', () => {
    const file = path.join(folder, 'deep', 'a.json');
    const given = result([row('a', 1.25, 1, 2, {macs: 3, note: '"'}), row('b', 4)]);
    writeResult(file, given);
    expect(readResult(file)).toEqual(given);
    expect(
      formatResult(given)
        .split('\n')
        .filter((line) => line.startsWith('    {"group"')),
    ).toHaveLength(2);
  });

  test.each([
    ['no JSON', '{'],
    ['another format', '{"format": "x"}'],
    ['a row without a median', JSON.stringify(result([row('a', 1)])).replace('"median":1,', '')],
  ])('%s is refused with its name', (_, text) => {
    const file = path.join(folder, 'bad.json');
    fs.writeFileSync(file, text);
    expect(() => readResult(file)).toThrow(InputError);
    expect(() => readResult(file)).toThrow(/bad\.json/);
  });
});
