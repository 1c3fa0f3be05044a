import {z} from 'zod';

const milliseconds = z.number().min(0);
const hypothesis = z.strictObject({text: z.string(), tokens: z.array(z.number().int()), score: z.number()});
const measured = z.array(z.number().nullable());

/** Output of `mue caption --json` for an image. */
export const captionSchema = z.strictObject({
  image: z.string(),
  ...hypothesis.shape,
  hypotheses: z.array(hypothesis).min(1),
  layers: z.record(
    z.string(),
    z.strictObject({run: z.union([z.number(), z.array(z.number())]), of: z.number().int().positive()}),
  ),
  macs: z.strictObject({run: z.number().positive(), full: z.number().positive()}),
  ms: z.strictObject({
    load: milliseconds,
    preprocess: milliseconds,
    encode: milliseconds,
    decode: milliseconds,
    total: milliseconds,
  }),
  backend: z.literal('wasm'),
});
export type CaptionJson = z.infer<typeof captionSchema>;

/** `mue entail --json` adds the scores. */
export const entailmentSchema = captionSchema.extend({
  text: z.enum(['yes', 'no', 'maybe']),
  scores: z.strictObject({yes: z.number(), no: z.number(), maybe: z.number()}),
});
export type EntailmentJson = z.infer<typeof entailmentSchema>;

/** `--trace` adds a record of every pass through a stack. */
export const tracedSchema = captionSchema.extend({
  trace: z
    .array(
      z.strictObject({
        stack: z.enum(['encoder.image', 'encoder.text', 'decoder']),
        step: z.number().int().optional(),
        exitLayer: z.number().int().positive(),
        depth: z.number().int().positive(),
        similarity: measured,
        threshold: measured,
      }),
    )
    .min(3),
});

/** An image that failed. */
export const failureSchema = z.strictObject({
  image: z.string(),
  error: z.strictObject({code: z.string(), message: z.string()}),
});
