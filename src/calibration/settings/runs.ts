import {z} from 'zod';
import type {PolicySetting, SettingTarget} from '../policy-setting.js';
import type {SettingRuns} from './runner.js';
import {checkedHeader, checkedRow, corruptRow} from '../recording/row-file.js';
import {settingSchema} from './file.js';

// Captions that many settings gave, as a file holds them: a header, then a row a picture.

export const SETTING_RUNS = 'mue-setting-runs';

/** What the runs were made with. */
export interface RunsHeader extends SettingTarget {
  readonly format: typeof SETTING_RUNS;
  readonly version: 1;
  readonly task: 'caption';
  /** SHA-256 of the data file. */
  readonly data: string;
  /** How words were searched for. */
  readonly generation: Readonly<Record<string, unknown>>;
  /** What was run; the first is full depth. */
  readonly settings: readonly PolicySetting[];
}

/** A picture, and what the settings said of it. */
export interface RunsRow {
  /** Position in the data set, from 0. */
  readonly index: number;
  readonly id: string;
  readonly imageId: string;
  readonly references: readonly string[];
  /** Settings share them; layers of the two stacks before the one that writes, and of that: a number, or one a decoding step. */
  readonly searches: readonly {
    readonly text: string;
    readonly score: number;
    readonly encoder: readonly (number | readonly number[])[];
    readonly decoder: readonly number[];
    readonly macs: {readonly run: number; readonly full: number};
  }[];
  /** By setting: its search. */
  readonly of: readonly number[];
  /** By setting: multiply-accumulates of the tests in the encoder, which its search does not count. */
  readonly tests: readonly number[];
}

/** Checked runs, in memory. */
export interface Runs {
  readonly header: RunsHeader;
  readonly rows: readonly RunsRow[];
}

const headerSchema = z.object({
  format: z.literal(SETTING_RUNS),
  version: z.literal(1),
  task: z.literal('caption'),
  model: z.string(),
  data: z.string(),
  stacks: z.array(z.object({stack: z.string(), depth: z.number().int().positive()})).length(3),
  generation: z.record(z.string(), z.unknown()),
  settings: z.array(settingSchema).min(1),
});
const count = z.number().int().nonnegative();
const layers = z.number().int().positive();
const rowSchema = z.object({
  index: count,
  id: z.string(),
  imageId: z.string(),
  references: z.array(z.string()).min(1),
  searches: z.array(
    z.object({
      text: z.string(),
      score: z.number(),
      encoder: z.array(z.union([layers, z.array(layers).min(1)])).length(2),
      decoder: z.array(layers).min(1),
      macs: z.object({run: z.number().nonnegative(), full: z.number().nonnegative()}),
    }),
  ),
  of: z.array(count),
  tests: z.array(z.number().nonnegative()),
});

/** One picture as a row. */
export function runsRow(
  item: Pick<RunsRow, 'index' | 'id' | 'imageId' | 'references'>,
  {searches, of}: SettingRuns,
): RunsRow {
  return {
    ...item,
    searches: searches.map(({text, score, encoder, decoder, macs}) => ({text, score, encoder, decoder, macs})),
    of: of.map(({search}) => search),
    tests: of.map(({testMacs}) => testMacs),
  };
}

/** @throws InputError if the header or a row is not what this version writes */
export function parseRuns(header: unknown, rows: readonly unknown[], source: string): Runs {
  const head = checkedHeader(headerSchema, header, source, 'holds no runs');
  const {settings} = head;
  const parsed = rows.map((raw, i): RunsRow => {
    const fail = corruptRow(source, i);
    const row = checkedRow(rowSchema, raw, fail);
    const {of, tests, searches} = row;
    for (const [what, list] of Object.entries({of, tests}))
      if (list.length !== settings.length) fail(`${what}: ${list.length} numbers, wanted ${settings.length}`);
    const stray = of.find((search) => search >= searches.length);
    if (stray !== undefined) fail(`search ${stray} of ${searches.length}`);
    return row;
  });
  return {header: head, rows: parsed};
}
