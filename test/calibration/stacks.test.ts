import {
  byPlace,
  byStack,
  cellCount,
  cellLayers,
  cellsOf,
  fullDepth,
  type RecordedStacks,
  recordedStacks,
  stackDepths,
  weightedLayers,
  weightedLayersEach,
} from '../../src/calibration/stacks.js';

const STREAMS: RecordedStacks = [
  {stack: 'encoder.image', depth: 3},
  {stack: 'encoder.text', depth: 2},
  {stack: 'decoder', depth: 4},
];
const TOWERS: RecordedStacks = [
  {stack: 'vision', depth: 3},
  {stack: 'text', depth: 2},
  {stack: 'multimodal', depth: 4},
];

const JOINT: RecordedStacks = [
  {stack: 'encoder', depth: 3},
  {stack: 'decoder', depth: 4},
];

test('weightedLayers: two streams of an encoder count as their mean, three towers one by one', () => {
  expect(weightedLayers(STREAMS, {'encoder.image': 2, 'encoder.text': 2, decoder: 1})).toBe(3);
  expect(weightedLayers(TOWERS, {vision: 2, text: 2, multimodal: 1})).toBe(5);
  const layers = {vision: [2, 1.5], text: [2, 1], multimodal: [1, 4]};
  expect([...weightedLayersEach(TOWERS, layers)]).toEqual([5, 6.5]);
});

test('byPlace and byStack: files say image, text and decoder, in the order in which the stacks run', () => {
  const files = {image: 1, text: 2, decoder: 3};
  expect(byStack(TOWERS, files)).toEqual({vision: 1, text: 2, multimodal: 3});
  for (const stacks of [STREAMS, TOWERS]) expect(byPlace(stacks, byStack(stacks, files))).toEqual(files);
  expect(Object.keys(byPlace(TOWERS, {multimodal: 3, text: 2, vision: 1}))).toEqual(['image', 'text', 'decoder']);
  // Two stacks are the first and the last.
  expect(byPlace(JOINT, {encoder: 1, decoder: 3})).toEqual({image: 1, decoder: 3});
  expect(byStack(JOINT, {image: 1, decoder: 3})).toEqual({encoder: 1, decoder: 3});
});

test('recordedStacks: two or three, no fewer and no more', () => {
  expect(recordedStacks(JOINT)).toEqual(JOINT);
  expect(recordedStacks(stackDepths({vision: 3, text: 2, multimodal: 4}))).toEqual(TOWERS);
  expect(recordedStacks(TOWERS.slice(2))).toBeUndefined();
  expect(recordedStacks([...TOWERS, ...STREAMS])).toBeUndefined();
});

test('cells: numbered from 0 with the last stack running fastest, to full depth', () => {
  const cells = Array.from({length: cellCount(TOWERS)}, (_, cell) => cellLayers(TOWERS, cell));
  expect(cells).toHaveLength(24);
  expect([cells[0], cells[1], cells[4], cells[8]]).toEqual([
    {vision: 1, text: 1, multimodal: 1},
    {vision: 1, text: 1, multimodal: 2},
    {vision: 1, text: 2, multimodal: 1},
    {vision: 2, text: 1, multimodal: 1},
  ]);
  expect(cells.at(-1)).toEqual(fullDepth(TOWERS));
  const column = (stack: 'vision' | 'text' | 'multimodal'): number[] => cells.map((layers) => layers[stack]!);
  const layers = {vision: column('vision'), text: column('text'), multimodal: column('multimodal')};
  expect([...cellsOf(TOWERS, layers)]).toEqual(cells.map((_, cell) => cell));
});
