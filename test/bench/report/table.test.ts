import {figure, formatTables, markdownTable, provenance, textTable} from '../../../bench/report/table.js';
import {result, row} from '../../support/bench-result.js';

describe('tables', () => {
  test('figure: has three digits', () => {
    expect([1234.5, 99.95, 9.876, 0.5, 0.01234, 0, Number.NaN].map(figure)).toEqual([
      '1235',
      '100.0',
      '9.88',
      '0.50',
      '0.012',
      '0.0',
      '–',
    ]);
  });

  test('textTable: lines up columns', () => {
    expect(
      textTable([
        ['', 'ms'],
        ['matMul', '13.6'],
        ['x', '5'],
      ]),
    ).toBe('          ms\nmatMul  13.6\nx          5');
  });

  test('markdownTable: a bar in a name does not end a cell', () => {
    expect(
      markdownTable([
        ['a', 'b'],
        ['x|y', '1'],
      ]),
    ).toBe('| a | b |\n|---|---:|\n| x\\|y | 1 |');
  });

  test('resultCells: rates are from MACs and time, in the unit of the row', () => {
    const text = formatTables(
      result([row('product', 2, 1, 3, {macs: 4e9}), row('add', 5, 5, 5, {unit: 'µs', macs: 1e6})]),
    );
    expect(text.split('\n').find((line) => line.startsWith('product'))).toMatch(/4\.00 +2000$/);
    expect(text.split('\n').find((line) => line.startsWith('add'))).toMatch(/200$/);
  });

  test('provenance: device, backend, threads, processor, load in one line', () => {
    expect(provenance(result([]))).toBe(
      'wasm (wasm, 1 thread), 2 × Abacus, Node v20.19.0, 2026-01-02, load average 0.5 before, 1 after',
    );
  });
});
