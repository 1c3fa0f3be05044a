import {z} from 'zod';

export interface HypothesisJson {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly score: number;
}

/** What `mue caption --json` prints for a picture. */
export interface CaptionJson extends HypothesisJson {
  readonly image: string;
  readonly hypotheses: readonly HypothesisJson[];
  readonly layers: Readonly<Record<string, {readonly run: number | readonly number[]; readonly of: number}>>;
  readonly macs: {readonly run: number; readonly full: number};
  readonly ms: Readonly<Record<'load' | 'preprocess' | 'encode' | 'decode' | 'total', number>>;
  readonly backend: string;
}

/** `mue entail --json` adds the scores. */
export interface EntailmentJson extends CaptionJson {
  readonly scores: Readonly<Record<'yes' | 'no' | 'maybe', number>>;
}

/** `--trace` adds what was measured. */
export interface TracedJson extends CaptionJson {
  readonly trace: readonly {
    readonly stack: string;
    readonly step?: number | undefined;
    readonly exitLayer: number;
    readonly depth: number;
    readonly similarity: readonly (number | null)[];
    readonly threshold: readonly (number | null)[];
  }[];
}

/** A picture that failed. */
export interface FailureJson {
  readonly image: string;
  readonly error: {readonly code: string; readonly message: string};
}

const milliseconds = z.number().min(0);
const hypothesis = z.strictObject({text: z.string(), tokens: z.array(z.number().int()), score: z.number()});
const caption = z.strictObject({
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
const measured = z.array(z.number().nullable());

export const captionSchema: z.ZodType<CaptionJson> = caption;
export const entailmentSchema: z.ZodType<EntailmentJson> = caption.extend({
  text: z.enum(['yes', 'no', 'maybe']),
  scores: z.strictObject({yes: z.number(), no: z.number(), maybe: z.number()}),
});
export const tracedSchema: z.ZodType<TracedJson> = caption.extend({
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
export const failureSchema: z.ZodType<FailureJson> = z.strictObject({
  image: z.string(),
  error: z.strictObject({code: z.string(), message: z.string()}),
});
