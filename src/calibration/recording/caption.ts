import {z} from 'zod';
import type {DecoderMeasures} from '../replay/decoder-scores.js';
import type {CaptionRecord} from './record-caption.js';
import {fromBase64, type Recording, toBase64} from './entailment.js';
import {checkedHeader, checkedNumbers, checkedRow, corruptRow} from './row-file.js';

// Recordings of captions as files hold them: a header, then a row a picture; arrays are little-endian in base64.

export const CAPTION_RECORDING = 'mue-caption-recording';

export interface CaptionRecordingHeader {
  readonly format: typeof CAPTION_RECORDING;
  readonly version: 1;
  readonly task: 'caption';
  /** SHA-256 of the weights. */
  readonly model: string;
  /** SHA-256 of the data file. */
  readonly data: string;
  readonly generation: Readonly<Record<string, unknown>>;
  readonly stacks: readonly {readonly stack: string; readonly depth: number}[];
}

type Arrays = 'similarity' | 'margin' | 'max' | 'entropy' | 'answer';

export interface CaptionRecordingRow extends Omit<CaptionRecord, Arrays>, Readonly<Record<Arrays, string>> {
  /** Position in the data set, from 0. */
  readonly index: number;
  readonly id: string;
  readonly imageId: string;
  readonly references: readonly string[];
}

const headerSchema = z.object({
  format: z.literal(CAPTION_RECORDING),
  version: z.literal(1),
  task: z.literal('caption'),
  model: z.string(),
  data: z.string(),
  generation: z.record(z.string(), z.unknown()),
  stacks: z.array(z.object({stack: z.string(), depth: z.number().int().positive()})).length(3),
});
const rowSchema = z.object({
  index: z.number(),
  id: z.string(),
  imageId: z.string(),
  references: z.array(z.string()),
  caption: z.string(),
  score: z.number(),
  positions: z.number().int().positive(),
  // The second stack's is one list of its layers, or one a position, of a stack that runs for every token.
  encoder: z.array(z.array(z.number())).length(2),
  similarity: z.string(),
  margin: z.string(),
  max: z.string(),
  entropy: z.string(),
  answer: z.string(),
  macs: z.object({base: z.number(), layer: z.array(z.number()).length(3)}),
});

/** One picture as a row. */
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

/** A recording of captions as one of single-step items: each position is one, right where its word is the caption's own. */
export interface CaptionPositions {
  readonly recording: Recording;
  readonly measures: DecoderMeasures;
}

/** @throws InputError if the header or a row is not what this version writes, or a number is NaN */
export function parseCaptionRecording(header: unknown, rows: readonly unknown[], source: string): CaptionPositions {
  const {stacks, model, data} = checkedHeader(headerSchema, header, source, 'is no caption recording');
  const [image, text, decoder] = stacks.map(({depth}) => depth) as [number, number, number];
  const grid = image * text * decoder;
  const parsed = rows.map((raw, i) => captionArrays(raw, {image, text, grid}, corruptRow(source, i)));
  const n = parsed.reduce((sum, {positions}) => sum + positions, 0);
  const floats = (size: number): Float32Array => new Float32Array(n * size);
  const recording: Recording = {
    header: {format: 'mue-recording', version: 1, task: 'caption', model, data, answers: [], stacks},
    rows: parsed.flatMap(({index, id, imageId, caption: label, encoder, macs, positions}) =>
      Array.from({length: positions}, () => ({index, id, imageId, label, encoder, macs})),
    ),
    n,
    depths: {image, text, decoder},
    image: floats(image),
    text: floats(text),
    similarity: floats(grid),
    logits: new Float32Array(0),
    labels: new Uint8Array(n),
  };
  const {similarity} = recording;
  const measures = {layers: decoder, grid, similarity, margin: floats(grid), max: floats(grid), entropy: floats(grid)};
  const answer = new Uint8Array(n * grid);
  let at = 0;
  for (const {encoder, arrays, positions} of parsed) {
    for (const name of ['similarity', 'margin', 'max', 'entropy'] as const) measures[name].set(arrays[name], at * grid);
    answer.set(arrays.answer, at * grid);
    for (let p = 0; p < positions; p++, at++) {
      recording.image.set(encoder[0]!, at * image);
      const own = encoder[1]!.length === text ? 0 : p * text;
      recording.text.set(encoder[1]!.slice(own, own + text), at * text);
    }
  }
  return {recording, measures: {...measures, answer}};
}

interface CheckedRow extends Omit<z.infer<typeof rowSchema>, Arrays> {
  readonly arrays: Readonly<Record<Exclude<Arrays, 'answer'>, Float32Array>> & {readonly answer: Uint8Array};
}

function captionArrays(
  raw: unknown,
  {image, text, grid}: {image: number; text: number; grid: number},
  fail: (why: string) => never,
): CheckedRow {
  const {similarity, margin, max, entropy, answer, ...rest} = checkedRow(rowSchema, raw, fail);
  checkedNumbers(rest.encoder[0]!, image, 'image similarity', fail);
  const perPosition = rest.encoder[1]!.length !== text;
  checkedNumbers(rest.encoder[1]!, perPosition ? text * rest.positions : text, 'text similarity', fail);
  const size = rest.positions * grid;
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
