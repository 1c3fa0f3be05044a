import {z} from 'zod';
import {STACK_NAMES} from '../../exit/policy.js';
import {DEVICES} from '../../runtime/devices.js';

const milliseconds = z.number().min(0);
const measured = z.array(z.number().nullable());

/** Multiply-accumulates: those run, and those of the same answer at full depth. */
export const macsSchema = z.strictObject({run: z.number().min(0), full: z.number().min(0)});

/** By stack: layers run, one number or one for every decoding step, of how many. */
export const layersSchema = z.partialRecord(
  z.enum(STACK_NAMES),
  z.strictObject({run: z.union([z.number(), z.array(z.number())]), of: z.number().int().positive()}),
);

const hypothesisSchema = z.strictObject({text: z.string(), tokens: z.array(z.number().int()), score: z.number()});

/** A pass through a stack, layer by layer; null where the policy measured nothing. */
const passSchema = z.strictObject({
  stack: z.enum(STACK_NAMES),
  /** Decoding step, from 0; absent in an encoder and in scoring. */
  step: z.number().int().min(0).optional(),
  exitLayer: z.number().int().positive(),
  depth: z.number().int().positive(),
  /** Scores of the policy, whichever it is. */
  similarity: measured,
  threshold: measured,
});

/** One picture of `mue caption`, `ask` and `prompt` with --json or --jsonl. */
export const answerSchema = z.strictObject({
  image: z.string(),
  ...hypothesisSchema.shape,
  /** All that the search found, best first. */
  hypotheses: z.array(hypothesisSchema).min(1),
  layers: layersSchema,
  macs: macsSchema,
  /** What was drafted and verified, where the exits lose nothing. */
  drafting: z
    .strictObject({
      rounds: z.number().int().min(0),
      positions: z.number().int().min(0),
      kept: z.number().int().min(0),
      ties: z.number().int().min(0),
      layerCalls: z.number().int().min(0),
    })
    .optional(),
  ms: z.strictObject({
    load: milliseconds,
    preprocess: milliseconds,
    encode: milliseconds,
    decode: milliseconds,
    total: milliseconds,
  }),
  /** The device, as --device calls it. */
  backend: z.enum(DEVICES),
  /** With --trace. */
  trace: z.array(passSchema).optional(),
});

/** One picture of `mue entail`: log-softmax over the three answers, too. */
export const entailmentSchema = answerSchema.extend({
  text: z.enum(['yes', 'no', 'maybe']),
  scores: z.strictObject({yes: z.number(), no: z.number(), maybe: z.number()}),
});

/** One picture of `mue classify`. */
export const classifiedSchema = z.strictObject({
  image: z.string(),
  label: z.string(),
  /** The likeliest labels, best first. */
  labels: z.array(z.strictObject({label: z.string(), logit: z.number(), probability: z.number().min(0).max(1)})),
  layers: layersSchema,
  macs: macsSchema,
  ms: z.strictObject({preprocess: milliseconds, encode: milliseconds, decode: milliseconds, total: milliseconds}),
});

/** A picture that could not be used, in the place of its answer. */
export const failureSchema = z.strictObject({
  image: z.string(),
  error: z.strictObject({code: z.string(), message: z.string()}),
});

/** The output for one input as an object, for several as an array; --jsonl: each on its own line. */
export function outputOf<T extends z.ZodType>(one: T) {
  const each = z.union([one, failureSchema]);
  return z.union([each, z.array(each)]);
}
