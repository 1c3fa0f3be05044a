import {z} from 'zod';
import {InputError} from '../../runtime/errors.js';
import type {EntailmentRecord} from './record-entailment.js';
import {checkedHeader, checkedNumbers, checkedRow, corruptRow} from './row-file.js';

// Recordings as files hold them: a header, then a row an item; arrays are little-endian float32 in base64.

/** What a recording was made with. Replays and calibrations name it, plans are refused for other models. */
export interface RecordingHeader {
  readonly format: 'mue-recording';
  readonly version: 1;
  /** In files 'snli-ve'; 'caption' where positions of captions stand for items (`parseCaptionRecording`). */
  readonly task: 'snli-ve' | 'caption';
  /** SHA-256 of the weights. */
  readonly model: string;
  /** SHA-256 of the data file. */
  readonly data: string;
  readonly answers: readonly string[];
  /** Depths of the stacks before the one that writes, in the order of the rows' `encoder`, and of that. */
  readonly stacks: readonly {readonly stack: string; readonly depth: number}[];
}

export interface RecordingRow {
  /** Position in the data set, from 0. */
  readonly index: number;
  readonly id: string;
  readonly imageId: string;
  readonly label: string;
  readonly encoder: readonly (readonly number[])[];
  readonly similarity: string;
  readonly logits: string;
  /** Cost is linear in the depths: at depths of 1, and of one more layer of each stack. */
  readonly macs: {readonly base: number; readonly layer: readonly number[]};
  /** Further fields of the data, such as difficulties. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined;
}

const headerSchema = z.object({
  format: z.literal('mue-recording'),
  version: z.literal(1),
  task: z.literal('snli-ve'),
  model: z.string(),
  data: z.string(),
  answers: z.array(z.string()),
  stacks: z.array(z.object({stack: z.string(), depth: z.number().int().positive()})),
});
const rowSchema = z.object({
  index: z.number(),
  id: z.string(),
  imageId: z.string(),
  label: z.string(),
  encoder: z.array(z.array(z.number())),
  similarity: z.string(),
  logits: z.string(),
  macs: z.object({base: z.number(), layer: z.array(z.number())}),
  extra: z.record(z.string(), z.unknown()).optional(),
});

/** One item as a row. @param macs of the record at [I · T · L] */
export function recordingRow(
  item: Pick<RecordingRow, 'index' | 'id' | 'imageId' | 'label' | 'extra'>,
  record: EntailmentRecord,
  depths: readonly number[],
): RecordingRow {
  const {macs} = record;
  // Strides of the flat array of combinations, the last depth running fastest.
  const strides = depths.map((_, axis) => depths.slice(axis + 1).reduce((a, b) => a * b, 1));
  const layer = strides.map((stride, axis) => (depths[axis]! > 1 ? macs[stride]! - macs[0]! : 0));
  return {
    ...item,
    encoder: record.encoder,
    similarity: toBase64(record.similarity),
    logits: toBase64(record.logits),
    macs: {base: macs[0]!, layer},
  };
}

/** A checked recording, in memory: what `ThresholdReplay` and the policies' scores need. */
export interface Recording {
  readonly header: RecordingHeader;
  readonly rows: readonly Omit<RecordingRow, 'similarity' | 'logits'>[];
  readonly n: number;
  readonly depths: {readonly image: number; readonly text: number; readonly decoder: number};
  /** [n × image], [n × text], [n × image × text × decoder], the same × answers. */
  readonly image: Float32Array;
  readonly text: Float32Array;
  readonly similarity: Float32Array;
  readonly logits: Float32Array;
  readonly labels: Uint8Array;
}

/** @throws InputError if the header or a row is not what this version writes, or a number is NaN */
export function parseRecording(header: unknown, rows: readonly unknown[], source: string): Recording {
  const head = checkedHeader(headerSchema, header, source, 'is no recording');
  const {stacks, answers} = head;
  if (stacks.length !== 3)
    throw new InputError(
      'recording-invalid',
      `${source}: recorded were ${stacks.length} stacks; replays know two and the one that writes`,
    );
  const [image, text, decoder] = stacks.map(({depth}) => depth) as [number, number, number];
  const n = rows.length;
  const grid = image * text * decoder;
  const recording = {
    header: head,
    n,
    depths: {image, text, decoder},
    image: new Float32Array(n * image),
    text: new Float32Array(n * text),
    similarity: new Float32Array(n * grid),
    logits: new Float32Array(n * grid * answers.length),
    labels: new Uint8Array(n),
  };
  const parsed = rows.map((raw, i) => {
    const fail = corruptRow(source, i);
    const {similarity, logits, ...rest} = checkedRow(rowSchema, raw, fail);
    const put = (target: Float32Array, values: ArrayLike<number>, size: number, what: string): void =>
      target.set(checkedNumbers(values, size, what, fail), i * size);
    put(recording.image, rest.encoder[0] ?? [], image, 'image similarity');
    put(recording.text, rest.encoder[1] ?? [], text, 'text similarity');
    put(recording.similarity, fromBase64(similarity), grid, 'decoder similarity');
    put(recording.logits, fromBase64(logits), grid * answers.length, 'logits');
    const label = answers.indexOf(rest.label);
    if (label < 0) fail(`the label '${rest.label}' is none of ${answers.join(', ')}`);
    recording.labels[i] = label;
    return rest;
  });
  return {...recording, rows: parsed};
}

/** Answers at every combination: index of the largest logit, the first of equals. [n × image × text × decoder] */
export function predictions({logits, header}: Recording): Uint8Array {
  const a = header.answers.length;
  return Uint8Array.from({length: logits.length / a}, (_, i) => {
    let best = 0;
    for (let k = 1; k < a; k++) if (logits[i * a + k]! > logits[i * a + best]!) best = k;
    return best;
  });
}

/** Multiply-accumulates at every combination, [n × image × text × decoder]. */
export function recordedMacs({rows, depths}: Recording): Float64Array {
  const {image, text, decoder} = depths;
  const grid = image * text * decoder;
  const macs = new Float64Array(rows.length * grid);
  for (const [i, {macs: cost}] of rows.entries()) {
    for (let c = 0; c < grid; c++) {
      const [d, t, v] = [c % decoder, Math.floor(c / decoder) % text, Math.floor(c / (decoder * text))];
      macs[i * grid + c] = cost.base + v * cost.layer[0]! + t * cost.layer[1]! + d * cost.layer[2]!;
    }
  }
  return macs;
}

export function toBase64(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
}

export function fromBase64(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~3)));
}
