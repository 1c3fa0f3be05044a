import {z} from 'zod';
import {answerSchema, entailmentSchema as anyEntailmentSchema} from '../../../src/cli/schemas/answers.js';

export {failureSchema} from '../../../src/cli/schemas/answers.js';

const onWasm = {backend: z.literal('wasm')};

/** Output of `mue caption --json` for an image on wasm, without --trace. */
export const captionSchema = answerSchema.omit({trace: true}).extend(onWasm);
export type CaptionJson = z.infer<typeof captionSchema>;

/** `mue entail --json` adds the scores. */
export const entailmentSchema = anyEntailmentSchema.omit({trace: true}).extend(onWasm);
export type EntailmentJson = z.infer<typeof entailmentSchema>;

/** `--trace` adds a record of every pass through a stack. */
export const tracedSchema = answerSchema.extend({...onWasm, trace: answerSchema.shape.trace.unwrap().min(3)});
