import {z} from 'zod';
import type {Explanation} from '../explain/explanation.js';

const layer = z.number().int().positive();

const passSchema = z.strictObject({
  stack: z.string(),
  step: z.number().int().min(0).optional(),
  /** The token generated in this step; in a closed task, the answer. */
  token: z.string().optional(),
  depth: layer,
  /** The layer after which the plan leaves; null for never. */
  exit: layer.nullable(),
  /** The first layer that says what the last one says. */
  agreesFrom: layer.optional(),
  layers: z.array(
    z.strictObject({
      layer,
      similarity: z.number(),
      top: z.string().optional(),
      margin: z.number().optional(),
      max: z.number().optional(),
      entropy: z.number().optional(),
      agrees: z.boolean().optional(),
      /** The rule that kept the search from `top`. */
      forbidden: z.enum(['no_repeat_ngram_size', 'min_length']).optional(),
      score: z.number().optional(),
      threshold: z.number().optional(),
    }),
  ),
});

/** Output of `mue explain --json`. */
export const explanationSchema = z.strictObject({
  image: z.string(),
  task: z.string(),
  question: z.string().optional(),
  answer: z.string(),
  policy: z.string(),
  encoder: z.array(passSchema),
  decoder: z.array(passSchema),
}) satisfies z.ZodType<Explanation>;
