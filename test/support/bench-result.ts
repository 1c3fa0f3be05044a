import type {BenchResult, Row} from '../../bench/report/result-file.js';

export function row(
  name: string,
  median: number,
  p10: number = median,
  p90: number = median,
  extra: Partial<Row> = {},
): Row {
  return {group: 'op', name, unit: 'ms', median, p10, p90, n: 5, ...extra};
}

export function result(rows: readonly Row[], extra: Partial<BenchResult> = {}): BenchResult {
  return {
    format: 'mue-bench',
    version: 1,
    what: 'ops',
    date: '2026-01-02T03:04:05.000Z',
    machine: {cpu: 'Abacus', cores: 2, memoryGiB: 8, platform: 'linux x64', node: 'v20.19.0', load: [0.5, 1]},
    device: 'wasm',
    backend: 'wasm',
    threads: 1,
    settings: {rounds: 5},
    rows,
    ...extra,
  };
}
