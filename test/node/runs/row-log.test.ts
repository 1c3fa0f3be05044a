import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {RowLog, readRowLog} from '../../../src/node/runs/row-log.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-row-log-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));
const at = (name: string): string => path.join(folder, name);
const header = {format: 'test', model: 'a'};

function write(file: string, rows: readonly object[]): void {
  using log = RowLog.open(file, header);
  for (const row of rows) log.append({...row});
}

test('RowLog: goes on after being cut anywhere, without losing or doubling a row', () => {
  const rows = [{index: 0, text: 'ä'}, {index: 1}, {index: 2}];
  write(at('whole'), rows);
  const whole = fs.readFileSync(at('whole'));
  for (let length = 0; length <= whole.length; length++) {
    fs.writeFileSync(at('cut'), whole.subarray(0, length));
    const there = whole.subarray(0, length).filter((byte) => byte === 10).length - 1;
    using log = RowLog.open(at('cut'), header);
    expect(log.rows).toEqual(rows.slice(0, Math.max(0, there)));
    for (const row of rows.slice(log.rows.length)) log.append(row);
    expect(fs.readFileSync(at('cut'))).toEqual(whole);
  }
});

test('RowLog: 200,000 rows, a line of megabytes and a torn end', () => {
  const long = {index: 100_000, text: 'ä'.repeat(1_500_000)};
  const rows = Array.from({length: 200_000}, (_, index) => (index === 100_000 ? long : {index, text: `row ${index}`}));
  const lines = [header, ...rows].map((row) => JSON.stringify(row));
  fs.writeFileSync(at('long'), `${lines.join('\n')}\n{"index":2000`);
  {
    using log = RowLog.open(at('long'), header);
    expect(log.rows.length).toBe(200_000);
    log.append({index: 200_000});
  }
  const read = readRowLog(at('long'));
  expect([read.rows[100_000], read.rows[199_999], read.rows[200_000]]).toEqual([long, rows[199_999], {index: 200_000}]);
});

test('RowLog: neither cuts nor writes a file of something else', () => {
  for (const text of [
    'my thesis',
    'my thesis\nsecond line\n',
    '{"format":"test","model":"b"}\n{"index":0}\n',
    '[1]\n',
  ]) {
    fs.writeFileSync(at('other'), text);
    expect(() => RowLog.open(at('other'), header)).toThrow(
      expect.objectContaining({code: text.startsWith('{') ? 'resume-mismatch' : 'recording-corrupt'}),
    );
    expect(fs.readFileSync(at('other'), 'utf8')).toBe(text);
  }
});

test('RowLog: names the line of damage before the end', () => {
  write(at('damaged'), [{index: 0}, {index: 1}]);
  fs.writeFileSync(at('damaged'), fs.readFileSync(at('damaged'), 'utf8').replace('{"index":0}', '{"index":'));
  expect(() => readRowLog(at('damaged'))).toThrow(/line 2/);
  expect(() => RowLog.open(at('damaged'), header)).toThrow(/line 2/);
  expect(() => readRowLog(at('nowhere'))).toThrow(expect.objectContaining({code: 'file-unreadable'}));
});

test('RowLog: says that a file cannot be written', () => {
  expect(() => RowLog.open(at('no/folder'), header)).toThrow();
  expect(() => RowLog.open(folder, header)).toThrow();
});
