import {z} from 'zod';
import {settingSchema} from '../policy-setting.js';
import {checkedHeader, checkedRow, corruptRow} from '../recording/row-file.js';
import {lastStack, type RecordedStacks, recordedStacksSchema, stacksBefore} from '../stacks.js';
import type {SettingRuns} from './runner.js';

// Captions that many settings gave, as a file holds them: a header, then a row for each picture.

export const SETTING_RUNS = 'mue-setting-runs';

const headerSchema = z
  .object({
    format: z.literal(SETTING_RUNS),
    version: z.literal(1),
    task: z.literal('caption'),
    /** SHA-256 of the weights. */
    model: z.string(),
    /** SHA-256 of the data file. */
    data: z.string(),
    stacks: recordedStacksSchema,
    /** Settings of the search for words. */
    generation: z.record(z.string(), z.unknown()).readonly(),
    /** Settings that were run; the first is full depth. */
    settings: z.array(settingSchema).min(1).readonly(),
  })
  .readonly();
export type RunsHeader = z.infer<typeof headerSchema>;

const count = z.number().int().nonnegative();
const layers = z.number().int().positive();
const rowSchema = z
  .object({
    /** Position in the data set, from 0. */
    index: count,
    id: z.string(),
    imageId: z.string(),
    references: z.array(z.string()).min(1).readonly(),
    /** Settings share searches. */
    searches: z
      .array(
        z
          .object({
            text: z.string(),
            score: z.number(),
            /** Layers of the stacks before the last: a number, or one for each decoding step. */
            encoder: z.array(z.union([layers, z.array(layers).min(1).readonly()])).readonly(),
            /** Layers of the last stack at each decoding step. */
            decoder: z.array(layers).min(1).readonly(),
            macs: z.object({run: z.number().nonnegative(), full: z.number().nonnegative()}).readonly(),
          })
          .readonly(),
      )
      .readonly(),
    /** Search of each setting. */
    of: z.array(count).readonly(),
    /** Multiply-accumulates of each setting's exit tests in the encoder, which its search does not count. */
    tests: z.array(z.number().nonnegative()).readonly(),
  })
  .readonly();

/** A picture, and the captions that the settings gave. */
export type RunsRow = z.infer<typeof rowSchema>;

/** Checked runs, in memory. */
export interface Runs {
  readonly header: RunsHeader;
  readonly rows: readonly RunsRow[];
}

/** The runs on a picture as a row. @param stacks of the model, in the order of the header */
export function runsRow(
  item: Pick<RunsRow, 'index' | 'id' | 'imageId' | 'references'>,
  {searches, of}: SettingRuns,
  stacks: RecordedStacks,
): RunsRow {
  return {
    ...item,
    searches: searches.map(({text, score, layers: run, macs}) => ({
      text,
      score,
      encoder: stacksBefore(stacks).map(({stack}) => run[stack]!),
      decoder: [run[lastStack(stacks).stack]!].flat(),
      macs,
    })),
    of: of.map(({search}) => search),
    tests: of.map(({testMacs}) => testMacs),
  };
}

/** @throws InputError if the header or a row is not what this version writes */
export function parseRuns(header: unknown, rows: readonly unknown[], source: string): Runs {
  const head = checkedHeader(headerSchema, header, source, 'holds no runs');
  const {settings, stacks} = head;
  const parsed = rows.map((raw, i): RunsRow => {
    const fail = corruptRow(source, i);
    const row = checkedRow(rowSchema, raw, fail);
    const {of, tests, searches} = row;
    for (const [what, list] of Object.entries({of, tests}))
      if (list.length !== settings.length) fail(`${what}: ${list.length} numbers, wanted ${settings.length}`);
    const stray = of.find((search) => search >= searches.length);
    if (stray !== undefined) fail(`search ${stray} of ${searches.length}`);
    const other = searches.find(({encoder}) => encoder.length !== stacks.length - 1);
    if (other) fail(`encoder: ${other.encoder.length} stacks, wanted ${stacks.length - 1}`);
    return row;
  });
  return {header: head, rows: parsed};
}
