import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {StateFile} from '../../../src/node/runs/state-file.js';
import type {StatesHeader} from '../../../src/training/states.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-states-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (name: string): string => path.join(root, name);
const header: StatesHeader = {
  format: 'mue-exit-states',
  version: 2,
  task: 'caption',
  model: 'a',
  data: 'b',
  limit: null,
  references: 5,
  stack: 'decoder',
  layers: 2,
  size: 2,
};
/** Two groups: one position, then two. */
const GROUPS = [
  {group: {index: 0, imageId: 'x', labels: [7]}, states: Float32Array.of(1, 2, 3, 4)},
  {group: {index: 1, imageId: 'y', labels: [8, -1]}, states: Float32Array.of(5, 6, 7, 8, 9, 10, 11, 12)},
];
function write(folder: string): void {
  using file = StateFile.open(folder, header);
  for (const {group, states} of GROUPS.slice(file.groups.length)) file.append(group, states);
}
const content = (folder: string): Buffer[] =>
  ['rows.jsonl', 'states.f32'].map((name) => fs.readFileSync(path.join(folder, name)));

test('StateFile: gives the states of a layer, groups in order', () => {
  write(at('whole'));
  using file = StateFile.open(at('whole'), header);
  expect(file.groups).toEqual(GROUPS.map(({group}) => group));
  expect([...file.read(1)]).toEqual([1, 2, 5, 6, 7, 8]);
  expect([...file.read(2)]).toEqual([3, 4, 9, 10, 11, 12]);
  expect(file.bytes).toBe(48);
});

test('StateFile: cut anywhere, it goes on and ends with the same bytes', () => {
  write(at('whole'));
  const [rows, states] = content(at('whole'));
  fs.mkdirSync(at('cut'));
  for (let rowBytes = 0; rowBytes <= rows!.length; rowBytes++) {
    const known = rows!.subarray(0, rowBytes).filter((byte) => byte === 10).length - 1;
    // Numbers are written before their row.
    for (const stateBytes of [16 * Math.max(0, known) * (known > 1 ? 1.5 : 1), 48].map(Math.round)) {
      fs.writeFileSync(path.join(at('cut'), 'rows.jsonl'), rows!.subarray(0, rowBytes));
      fs.writeFileSync(path.join(at('cut'), 'states.f32'), states!.subarray(0, stateBytes));
      write(at('cut'));
      expect(content(at('cut'))).toEqual([rows, states]);
    }
  }
});

test('StateFile: a second writer is refused', () => {
  using first = StateFile.open(at('two'), header);
  expect(() => StateFile.open(at('two'), header)).toThrow(expect.objectContaining({code: 'folder-in-use'}));
  first.append(GROUPS[0]!.group, GROUPS[0]!.states);
  first.append(GROUPS[1]!.group, GROUPS[1]!.states);
  expect([...first.read(1)]).toEqual([1, 2, 5, 6, 7, 8]);
});

test('StateFile: refuses states of something else, and damage', () => {
  write(at('other'));
  expect(() => StateFile.open(at('other'), {...header, model: 'c'})).toThrow(
    expect.objectContaining({code: 'resume-mismatch'}),
  );
  const states = path.join(at('other'), 'states.f32');
  fs.truncateSync(states, 47);
  expect(() => StateFile.open(at('other'), header)).toThrow(expect.objectContaining({code: 'recording-corrupt'}));
  fs.writeFileSync(states, new Uint8Array(48).fill(255));
  {
    using file = StateFile.open(at('other'), header);
    expect(() => file.read(1)).toThrow(expect.objectContaining({code: 'recording-corrupt'}));
    expect(() => file.append(GROUPS[0]!.group, Float32Array.of(1, 2, Number.NaN, 4))).toThrow(
      expect.objectContaining({code: 'score-not-finite'}),
    );
  }
  fs.appendFileSync(path.join(at('other'), 'rows.jsonl'), '{"index":2,"imageId":"z","labels":[0.5]}\n');
  expect(() => StateFile.open(at('other'), header)).toThrow(/row 3/);
});
