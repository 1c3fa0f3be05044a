import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {z} from 'zod';
import {encoderLayers, expectedTimeReduction} from '../../metrics/savings.js';
import {throwIfAborted, UsageError} from '../../runtime/errors.js';
import {type Answer, type Entailment, type LayersRun, meanLayers} from '../../tasks/answer.js';
import type {OfaPipeline} from '../../tasks/ofa-processor.js';
import {parseJson} from '../../runtime/parse-json.js';

/** The pictures that come with the package. */
const PICTURES = fileURLToPath(new URL('../../../examples/pictures', import.meta.url));

const examplesSchema = z.array(
  z.object({
    file: z.string().regex(/^[\w-]+\.(png|jpg)$/),
    references: z.array(z.string()),
    hypotheses: z.array(z.object({text: z.string(), label: z.enum(['yes', 'no', 'maybe'])})).min(1),
    question: z.object({text: z.string(), answer: z.string()}),
  }),
);

/** Two answers to the same question: at full depth and with early exit. */
export interface Pair<A extends Answer> {
  readonly full: A;
  readonly early: A;
}

/** The answers about one example image. */
export interface DemoRow {
  readonly file: string;
  readonly bytes: Uint8Array;
  readonly reference: string;
  readonly caption: Pair<Answer>;
  readonly hypothesis: string;
  readonly label: string;
  readonly entailment: Pair<Entailment>;
  readonly question: string;
  readonly expected: string;
  readonly answer: Pair<Answer>;
}

/** Answers about every example picture, full and early one after the other, so that both meet the same machine. */
export async function* runExamples(
  mue: OfaPipeline,
  signal: AbortSignal,
  most: number = Number.POSITIVE_INFINITY,
): AsyncGenerator<DemoRow> {
  const examples = readExamples().slice(0, most);
  const read = (file: string): Uint8Array => fs.readFileSync(path.join(PICTURES, file));
  const full = {exit: 'never', signal} as const;
  const early = {exit: 'model', signal} as const;
  // Compilation and first allocations are nobody's exits: a first answer of each kind is not timed.
  if (examples[0]) {
    const bytes = read(examples[0].file);
    await mue.caption(bytes, {...full, num_beams: 2, max_new_tokens: 4});
    await mue.entail(bytes, examples[0].hypotheses[0]!.text, early);
  }
  // Without a plan for questions both runs would be the same.
  const questionsExit = mue.plans?.plans.vqa !== undefined;
  for (const {file, references, hypotheses, question} of examples) {
    throwIfAborted(signal);
    const bytes = read(file);
    // Greedily, as the reference answers.
    const ask = async (exit: typeof full | typeof early): Promise<Answer> =>
      await mue.ask(bytes, question.text, {...exit, num_beams: 1});
    const answered = await ask(full);
    const [{text: hypothesis, label}] = hypotheses as [{text: string; label: string}];
    yield {
      file,
      bytes,
      reference: references[0] ?? '',
      caption: {full: await mue.caption(bytes, full), early: await mue.caption(bytes, early)},
      hypothesis,
      label,
      entailment: {full: await mue.entail(bytes, hypothesis, full), early: await mue.entail(bytes, hypothesis, early)},
      question: question.text,
      expected: question.answer,
      answer: {full: answered, early: questionsExit ? await ask(early) : answered},
    };
  }
}

function readExamples(): z.infer<typeof examplesSchema> {
  const file = path.join(PICTURES, 'examples.json');
  try {
    return examplesSchema.parse(parseJson(fs.readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new UsageError(
      'examples-missing',
      `${file}: the example pictures cannot be read: ${(cause as Error).message.split('\n')[0]}`,
      {
        cause,
      },
    );
  }
}

/** Fractions that early exits saved, over several answers and their counterparts at full depth. */
export interface Saved {
  readonly layers: number;
  readonly macs: {readonly full: number; readonly early: number; readonly saved: number};
  /** Means of an answer, without loading the model. */
  readonly ms: {readonly full: number; readonly early: number; readonly saved: number};
}

export function savedBy(pairs: readonly Pair<Answer>[]): Saved {
  const mean = (of: (pair: Pair<Answer>) => number): number =>
    pairs.reduce((sum, pair) => sum + of(pair), 0) / pairs.length;
  const compare = (full: number, early: number): Saved['ms'] => ({full, early, saved: 1 - early / full});
  const depth = pairs[0] ? depths(pairs[0].early.layers, ({of}) => of) : {encoder: 1, decoder: 1};
  return {
    layers: expectedTimeReduction(
      pairs.map(({early}) => depths(early.layers, meanLayers)),
      depth,
    ),
    macs: compare(
      mean(({full}) => full.macs.run),
      mean(({early}) => early.macs.run),
    ),
    ms: compare(
      mean(({full}) => full.ms.total),
      mean(({early}) => early.ms.total),
    ),
  };
}

/** Encoder and decoder layers as MuE counts them: the two streams of an encoder are one, their mean. */
function depths(layers: Answer['layers'], of: (run: LayersRun) => number): {encoder: number; decoder: number} {
  const at = (stack: keyof Answer['layers']): number => (layers[stack] ? of(layers[stack]) : 0);
  return {
    encoder: layers.encoder ? at('encoder') : encoderLayers(at('encoder.image'), at('encoder.text')),
    decoder: at('decoder'),
  };
}

/** Multiply-accumulates of the picture's ResNet, which never exits. */
export function resnetMacs({model}: OfaPipeline): number {
  const {patch_image_size: size} = model.config;
  return model.cost.stem(size, size);
}
