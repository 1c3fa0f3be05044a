import {z} from 'zod';
import {InputError} from '../../runtime/errors.js';
import {
  type ByStack,
  cellCount,
  cellLayers,
  mapStacks,
  placesOf,
  type RecordedStacks,
  recordedStacks,
  stackDepthSchema,
} from '../stacks.js';
import type {EntailmentRecord} from './record-entailment.js';
import {checkedHeader, checkedNumbers, checkedRow, corruptRow} from './row-file.js';

// Recordings of single-step items. As files hold them: a header, then a row for each item; arrays are little-endian
// float32 in base64. In memory: typed arrays over all items.
// n items, C combinations of depths (cells, numbered as in stacks.ts), A answers

export const recordingHeaderSchema = z
  .object({
    format: z.literal('mue-recording'),
    version: z.literal(1),
    task: z.literal('snli-ve'),
    /** SHA-256 of the weights. */
    model: z.string(),
    /** SHA-256 of the data file. */
    data: z.string(),
    answers: z.array(z.string()).readonly(),
    /** The stacks in the order of the rows' `encoder`, and then the one that produces tokens. */
    stacks: z.array(stackDepthSchema).readonly(),
  })
  .readonly();

/** First line of a recording: model and data that it was made with. Plans are refused for other models. */
export type RecordingHeader = z.infer<typeof recordingHeaderSchema>;

export const recordingRowSchema = z
  .object({
    /** Position in the data set, from 0. */
    index: z.number(),
    id: z.string(),
    imageId: z.string(),
    label: z.string(),
    /** Similarity after each layer of each stack before the last. */
    encoder: z.array(z.array(z.number()).readonly()).readonly(),
    /** Similarity after each layer of the last stack, [C]. */
    similarity: z.string(),
    /** Scores of the answers, [C · A]. */
    logits: z.string(),
    /** Multiply-accumulates are linear in the depths: at depths of 1, and of one more layer of each stack. */
    macs: z.object({base: z.number(), layer: z.array(z.number()).readonly()}).readonly(),
    /** Further fields of the data, such as difficulties. */
    extra: z.record(z.string(), z.unknown()).readonly().optional(),
  })
  .readonly();
export type RecordingRow = z.infer<typeof recordingRowSchema>;

/**
 * A recorded item as a row.
 * @param record its `macs` are those of every combination, [C]
 * @param depths of all stacks, in the order of the header
 */
export function recordingRow(
  item: Pick<RecordingRow, 'index' | 'id' | 'imageId' | 'label' | 'extra'>,
  record: EntailmentRecord,
  depths: readonly number[],
): RecordingRow {
  const {macs} = record;
  // Distance in the flat array of two combinations that differ by one layer of a stack.
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

/** A checked recording, in memory: what replays need. */
export interface Recording {
  /**
   * Names two or three stacks; the task is 'caption' where the positions of captions stand for items
   * (`parseCaptionRecording`).
   */
  readonly header: Omit<RecordingHeader, 'task' | 'stacks'> & {
    readonly task: 'snli-ve' | 'caption';
    readonly stacks: RecordedStacks;
  };
  readonly rows: readonly Omit<RecordingRow, 'similarity' | 'logits'>[];
  readonly n: number;
  /** Similarity after each layer: of a stack before the last [n × depth], of the last [n × C]. */
  readonly similarity: ByStack<Float32Array>;
  /** Scores of the answers, [n × C × A]; empty where they were not recorded. */
  readonly logits: Float32Array;
  /** Right answers, as indices into the header's answers, [n]. */
  readonly labels: Uint8Array;
}

/** @throws InputError if the header or a row is not what this version writes, or a number is NaN */
export function parseRecording(header: unknown, rows: readonly unknown[], source: string): Recording {
  const head = checkedHeader(recordingHeaderSchema, header, source, 'is no recording');
  const {answers} = head;
  const stacks = recordedStacks(head.stacks);
  if (stacks === undefined)
    throw new InputError(
      'recording-invalid',
      `${source}: recorded were ${head.stacks.length} stacks; replays know one or two and the one that writes`,
    );
  const n = rows.length;
  const cells = cellCount(stacks);
  const last = stacks.length - 1;
  const places = placesOf(stacks);
  const sizes = stacks.map(({depth}, k) => (k === last ? cells : depth));
  const similarity = mapStacks(stacks, (_stack, _depth, k) => new Float32Array(n * sizes[k]!));
  const logits = new Float32Array(n * cells * answers.length);
  const labels = new Uint8Array(n);
  const parsed = rows.map((raw, i) => {
    const fail = corruptRow(source, i);
    const {similarity: own, logits: scores, ...rest} = checkedRow(recordingRowSchema, raw, fail);
    const put = (target: Float32Array, values: ArrayLike<number>, size: number, what: string): void =>
      target.set(checkedNumbers(values, size, what, fail), i * size);
    for (const [k, {stack}] of stacks.entries()) {
      const values = k === last ? fromBase64(own) : (rest.encoder[k] ?? []);
      put(similarity[stack]!, values, sizes[k]!, `${places[k]} similarity`);
    }
    put(logits, fromBase64(scores), cells * answers.length, 'logits');
    checkedNumbers(rest.macs.layer, stacks.length, 'multiply-accumulates of a layer', fail);
    const label = answers.indexOf(rest.label);
    if (label < 0) fail(`the label '${rest.label}' is none of ${answers.join(', ')}`);
    labels[i] = label;
    return rest;
  });
  return {header: {...head, stacks}, rows: parsed, n, similarity, logits, labels};
}

/** Answers at every combination: index of the largest logit, the first of equals; [n × C]. */
export function predictions({logits, header}: Recording): Uint8Array {
  const a = header.answers.length;
  return Uint8Array.from({length: logits.length / a}, (_, i) => {
    let best = 0;
    for (let k = 1; k < a; k++) if (logits[i * a + k]! > logits[i * a + best]!) best = k;
    return best;
  });
}

/** Multiply-accumulates at every combination, [n × C]. */
export function recordedMacs({rows, header: {stacks}}: Recording): Float64Array {
  const more = Array.from({length: cellCount(stacks)}, (_, cell) => {
    const layers = cellLayers(stacks, cell);
    return stacks.map(({stack}) => layers[stack]! - 1);
  });
  const macs = new Float64Array(rows.length * more.length);
  for (const [i, {macs: cost}] of rows.entries())
    for (const [cell, steps] of more.entries())
      macs[i * more.length + cell] = steps.reduce((sum, step, k) => sum + step * cost.layer[k]!, cost.base);
  return macs;
}

/** Little-endian float32, as rows hold it. */
export function toBase64(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
}

export function fromBase64(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~3)));
}
