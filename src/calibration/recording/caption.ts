import {z} from 'zod';
import {runsPerToken} from '../../exit/stacks.js';
import type {DecoderMeasures} from '../replay/decoder-scores.js';
import {
  cellCount,
  lastStack,
  mapStacks,
  placesOf,
  type RecordedStacks,
  recordedStacksSchema,
  stacksBefore,
} from '../stacks.js';
import {fromBase64, type Recording, toBase64} from './entailment.js';
import type {CaptionRecord} from './record-caption.js';
import {checkedHeader, checkedNumbers, checkedRow, corruptRow} from './row-file.js';

// Recordings of captions as files hold them: a header, then a row for each picture; arrays little-endian, in base64.
// P positions of a caption, C combinations of depths (cells, numbered as in stacks.ts)

export const CAPTION_RECORDING = 'mue-caption-recording';

export const captionHeaderSchema = z
  .object({
    format: z.literal(CAPTION_RECORDING),
    version: z.literal(1),
    task: z.literal('caption'),
    /** SHA-256 of the weights. */
    model: z.string(),
    /** SHA-256 of the data file. */
    data: z.string(),
    generation: z.record(z.string(), z.unknown()).readonly(),
    stacks: recordedStacksSchema,
  })
  .readonly();
export type CaptionRecordingHeader = z.infer<typeof captionHeaderSchema>;

export const captionRowSchema = z
  .object({
    /** Position in the data set, from 0. */
    index: z.number(),
    id: z.string(),
    imageId: z.string(),
    references: z.array(z.string()).readonly(),
    caption: z.string(),
    score: z.number(),
    positions: z.number().int().positive(),
    /** Similarity after each layer of each stack before the last: of a stack that runs for every token [P · depth]. */
    encoder: z.array(z.array(z.number()).readonly()).readonly(),
    /** Float32 [P · C], as `CaptionRecord` describes them; `answer` is uint8. */
    similarity: z.string(),
    margin: z.string(),
    max: z.string(),
    entropy: z.string(),
    answer: z.string(),
    macs: z.object({base: z.number(), layer: z.array(z.number()).readonly()}).readonly(),
  })
  .readonly();
export type CaptionRecordingRow = z.infer<typeof captionRowSchema>;

const SCORES = ['similarity', 'margin', 'max', 'entropy'] as const;
type ScoreName = (typeof SCORES)[number];

/** A recorded picture as a row. */
export function captionRow(
  item: Pick<CaptionRecordingRow, 'index' | 'id' | 'imageId' | 'references'>,
  {similarity, margin, max, entropy, answer, ...rest}: CaptionRecord,
): CaptionRecordingRow {
  return {
    ...item,
    ...rest,
    similarity: toBase64(similarity),
    margin: toBase64(margin),
    max: toBase64(max),
    entropy: toBase64(entropy),
    answer: Buffer.from(answer).toString('base64'),
  };
}

/**
 * A recording of captions as one of single-step items: each position is an item, right where its token is the caption's
 * own.
 */
export interface CaptionPositions {
  readonly recording: Recording;
  readonly measures: DecoderMeasures;
}

/** @throws InputError if the header or a row is not what this version writes, or a number is NaN */
export function parseCaptionRecording(header: unknown, rows: readonly unknown[], source: string): CaptionPositions {
  const {stacks, model, data} = checkedHeader(captionHeaderSchema, header, source, 'is no caption recording');
  const [before, last] = [stacksBefore(stacks), lastStack(stacks)];
  const grid = cellCount(stacks);
  const parsed = rows.map((raw, i) => captionArrays(raw, stacks, corruptRow(source, i)));
  const n = parsed.reduce((sum, {positions}) => sum + positions, 0);
  const floats = (size: number): Float32Array => new Float32Array(n * size);
  const similarity = mapStacks(stacks, (stack, depth) => floats(stack === last.stack ? grid : depth));
  const recording: Recording = {
    header: {format: 'mue-recording', version: 1, task: 'caption', model, data, answers: [], stacks},
    rows: parsed.flatMap(({index, id, imageId, caption: label, encoder, macs, positions}) =>
      Array.from({length: positions}, () => ({index, id, imageId, label, encoder, macs})),
    ),
    n,
    similarity,
    logits: new Float32Array(0),
    labels: new Uint8Array(n),
  };
  const measures = {
    layers: last.depth,
    grid,
    similarity: similarity[last.stack]!,
    margin: floats(grid),
    max: floats(grid),
    entropy: floats(grid),
    answer: new Uint8Array(n * grid),
  };
  let at = 0;
  for (const {encoder, arrays, positions} of parsed) {
    for (const name of SCORES) measures[name].set(arrays[name], at * grid);
    measures.answer.set(arrays.answer, at * grid);
    for (let p = 0; p < positions; p++, at++) {
      for (const [k, {stack, depth}] of before.entries()) {
        const values = encoder[k]!;
        const own = values.length === depth ? 0 : p * depth;
        similarity[stack]!.set(values.slice(own, own + depth), at * depth);
      }
    }
  }
  return {recording, measures};
}

interface CheckedRow extends Omit<CaptionRecordingRow, ScoreName | 'answer'> {
  readonly arrays: Readonly<Record<ScoreName, Float32Array>> & {readonly answer: Uint8Array};
}

function captionArrays(raw: unknown, stacks: RecordedStacks, fail: (why: string) => never): CheckedRow {
  const {similarity, margin, max, entropy, answer, ...rest} = checkedRow(captionRowSchema, raw, fail);
  const places = placesOf(stacks);
  for (const [k, {stack, depth}] of stacksBefore(stacks).entries()) {
    const values = rest.encoder[k] ?? [];
    // A stack that runs for every token has a list of its layers for each position.
    const wanted = runsPerToken(stack) && values.length !== depth ? depth * rest.positions : depth;
    checkedNumbers(values, wanted, `${places[k]} similarity`, fail);
  }
  checkedNumbers(rest.macs.layer, stacks.length, 'multiply-accumulates of a layer', fail);
  const size = rest.positions * cellCount(stacks);
  const floats = (base64: string, what: string): Float32Array => checkedNumbers(fromBase64(base64), size, what, fail);
  return {
    ...rest,
    arrays: {
      similarity: floats(similarity, 'decoder similarity'),
      margin: floats(margin, 'margin'),
      max: floats(max, 'maximum'),
      entropy: floats(entropy, 'entropy'),
      answer: checkedNumbers(Uint8Array.from(Buffer.from(answer, 'base64')), size, 'answer', fail),
    },
  };
}
