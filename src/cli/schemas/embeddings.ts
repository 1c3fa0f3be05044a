import {z} from 'zod';
import type {MeasuredRecall} from '../embed/measure-recall.js';

const vector = z.array(z.number());
const share = z.number().min(0).max(1);

/** A line of `mue embed`: a vector of unit length. */
export const embeddingSchema = z.union([
  z.strictObject({image: z.string(), embedding: vector}),
  z.strictObject({text: z.string(), embedding: vector}),
]);

const hits = {
  /** The most similar pictures, best first, by the cosine. */
  found: z.array(z.strictObject({image: z.string(), similarity: z.number()})),
  /** Milliseconds of the search alone. */
  ms: z.number().min(0),
};

/** A line of `mue retrieve --embeddings … --json`: a query and what it found. */
export const foundSchema = z.union([
  z.strictObject({text: z.string(), ...hits}),
  z.strictObject({image: z.string(), ...hits}),
]);

/** Output of `mue retrieve --data … --json`. */
export const recallSchema = z.strictObject({
  pictures: z.number().int(),
  captions: z.number().int(),
  /** Rows that could not be used. */
  skipped: z.number().int(),
  recall: z.array(z.strictObject({k: z.number().int().positive(), textToImage: share, imageToText: share})),
}) satisfies z.ZodType<MeasuredRecall>;
