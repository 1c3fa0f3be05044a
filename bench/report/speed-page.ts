import fs from 'node:fs';
import path from 'node:path';
import {growthChart, growthExponents} from '../benches/growth.js';
import {type BenchResult, type Row, readResult} from './result-file.js';
import {figure, markdownTable, provenance, resultCells} from './table.js';

const TITLES: Readonly<Record<string, string>> = {
  base: 'OFA-Base, random weights, 480 × 480: the authors’ sizes',
  parts: 'Where answers of the shipped model spend their time',
  layers: 'Layers, and what deciding costs',
  ops: 'Operations at OFA-Base’s sizes',
  commands: 'Whole commands, cold',
  growth: 'Growth of time and memory',
  memory: 'Memory over many captions',
  profile: 'Kernels that answers spend their time in',
};
/** The seconds that the authors' code takes (PyTorch, fp32, 2 threads of a 2-core EPYC). */
const AUTHORS: Readonly<Record<string, number>> = {
  'caption: full': 3.27,
  'caption: exits': 2.87,
  "caption: exits, release's schedule": 2.87,
  'entail: full': 1.74,
  'entail: exits': 0.89,
};

/**
 * Writes speed.md and its plots from the results in its folder `speed/`, so that no figure is copied by hand. Words
 * that are not measured stand in `speed/notes.md`.
 * @returns the files written
 */
export function writeSpeedPage(folder: string): string[] {
  const home = path.join(folder, 'speed');
  const names = fs.readdirSync(home).filter((name) => name.endsWith('.json'));
  const results = names.sort().map((name) => ({name, result: readResult(path.join(home, name))}));
  const plots = results
    .filter(({result}) => result.what === 'growth')
    .map(({name, result}) => ({file: path.join(home, name.replace(/\.json$/, '.svg')), svg: growthChart(result)}));
  for (const {file, svg} of plots) fs.writeFileSync(file, svg);
  const notes = path.join(home, 'notes.md');
  const page = path.join(folder, 'speed.md');
  fs.writeFileSync(page, speedPage(results, fs.existsSync(notes) ? fs.readFileSync(notes, 'utf8') : ''));
  return [page, ...plots.map(({file}) => file)];
}

interface Named {
  /** The JSON file. */
  readonly name: string;
  readonly result: BenchResult;
}

/**
 * The page as Markdown.
 * @param notes text that no clock gives, placed before the tables
 */
export function speedPage(results: readonly Named[], notes: string): string {
  const parts = Object.entries(TITLES).flatMap(([what, title]) => {
    const these = results.filter(({result}) => result.what === what || result.what === 'all');
    const sections = these.map((named) => section(named, what)).filter((text) => text !== '');
    return sections.length > 0 ? [`## ${title}`, ...sections] : [];
  });
  return [
    '# Speed',
    '<!-- Written by `npm run bench -- page` from speed/*.json and speed/notes.md. Do not edit. -->',
    'Medians, with the range of nine in ten measurements (of all, where there are fewer than ten); `CPU` is the processor time of all threads, which other ' +
      'work on the machine disturbs least. `npm run bench -- <what> --device D --out docs/results/speed/<name>.json` measures, `npm run bench -- page` writes this page.',
    ...(notes ? [notes.trim()] : []),
    ...parts,
    '',
  ].join('\n\n');
}

const GROUPS: Readonly<Record<string, (group: string) => boolean>> = {
  ops: (group) => group === 'op',
  layers: (group) => group === 'layer',
  commands: (group) => group === 'command',
  parts: (group) => /^(caption|snli-ve), /.test(group),
};

function section({name, result}: Named, what: string): string {
  const rows = result.what === 'all' ? result.rows.filter(({group}) => GROUPS[what]?.(group)) : result.rows;
  if (rows.length === 0) return '';
  const settings = Object.entries(result.settings).map(([key, value]) => `${key} ${value}`);
  const where = `**${result.device}** – ${provenance(result)}; ${settings.join(', ')} ([${name}](speed/${name}))`;
  return [where, ...body(rows, what, result, name)].join('\n\n');
}

function body(rows: readonly Row[], what: string, result: BenchResult, name: string): string[] {
  if (what === 'base') return [markdownTable(baseCells(rows, result.machine.cpu))];
  if (what === 'layers') return [tables(rows), ...decidingShare(rows)];
  if (what === 'parts') return [tables(rows), markdownTable(savedCells(rows))];
  if (what !== 'growth') return [tables(rows)];
  const exponents = growthExponents(rows).map(({group, time, memory}) => [group, time.toFixed(2), memory.toFixed(2)]);
  const head = ['exponent e of (MACs)ᵉ; 1 is as the mathematics', 'time', 'memory'];
  return [
    tables(rows),
    markdownTable([head, ...exponents]),
    `![${TITLES.growth}, ${result.device}](speed/${name.replace(/\.json$/, '.svg')})`,
  ];
}

function tables(rows: readonly Row[]): string {
  const groups = [...new Set(rows.map(({group}) => group))];
  return groups
    .map((group) => {
      const [head = [], ...lines] = resultCells(rows.filter((row) => row.group === group));
      return markdownTable([[group, ...head.slice(1)], ...lines]);
    })
    .join('\n\n');
}

/** Our seconds beside the authors'; a ratio only where the processor is of the same make. */
function baseCells(rows: readonly Row[], cpu: string): string[][] {
  const [head = [], ...cells] = resultCells(rows);
  return [
    [...head, "authors' code, 2-core EPYC", 'ratio'],
    ...cells.map((line, i) => {
      const {group, name, median} = rows[i]!;
      const theirs = AUTHORS[`${group}: ${name}`];
      const beside =
        theirs === undefined
          ? ['', '']
          : [`${theirs} s`, cpu.includes('EPYC') ? (median / theirs).toFixed(2) : 'other machine'];
      return [`${group}: ${name}`, ...line.slice(1), ...beside];
    }),
  ];
}

/** Processor time where it is known. */
function busy({cpu, median}: Row): number {
  return cpu ?? median;
}

/** The cost of deciding, as a share of the layer that it decides on. */
function decidingShare(rows: readonly Row[]): string[] {
  const find = (name: string): Row | undefined => rows.find((row) => row.name === name);
  const pairs = rows.flatMap((row) => {
    const kind = /^(Base|shipped) deciding, (.*)$/.exec(row.name);
    const layer = kind && (find(`${kind[1]} encoder, ${kind[2]}`) ?? find(`${kind[1]} decoder, ${kind[2]}`));
    return layer ? [`${layer.name}: ${((100 * busy(row)) / busy(layer)).toFixed(1)} %`] : [];
  });
  return pairs.length > 0
    ? [`Deciding (similarity and readback), as a share of the layer it looks at: ${pairs.join('; ')}.`]
    : [];
}

/** Milliseconds that the plan saves, beside the multiply-accumulates. */
export function savedCells(rows: readonly Row[]): string[][] {
  const total = (group: string): Row | undefined => rows.find((row) => row.group === group && row.name === 'total');
  const lines = ['caption', 'snli-ve'].flatMap((task) => {
    const [full, exits] = [total(`${task}, every layer`), total(`${task}, the model's plan`)];
    if (!full || !exits) return [];
    const share = (a: number, b: number): string => `${(100 * (1 - b / a)).toFixed(1)} %`;
    return [
      [task, figure(full.median - exits.median), share(full.median, exits.median), share(full.macs!, exits.macs!)],
    ];
  });
  return [['saved by exits', 'ms', 'of the time', 'of the MACs'], ...lines];
}
