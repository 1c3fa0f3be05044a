import fs from 'node:fs';
import path from 'node:path';
import {z} from 'zod';
import {InputError, UsageError} from '../../runtime/errors.js';
import {RECIPES} from '../../training/task-objective.js';
import {TRAINED_TASKS} from '../../training/examples.js';
import {SCHEDULES} from '../../training/schedule.js';
import {dataFingerprintSchema} from '../dataset/fingerprint.js';
import {readTextFile} from '../files/regular-file.js';
import {INITIAL_WEIGHTS} from './coca-subject.js';
import {runDifferences} from '../runs/run-file.js';
import {writeAtomic} from '../runs/write-atomic.js';
import {parseJson} from '../../runtime/parse-json.js';

/** run.json of a training: everything that decides its weights. */
export const trainingRunSchema = z.strictObject({
  format: z.literal('mue-training-run'),
  version: z.literal(1),
  model: z.strictObject({name: z.string(), sha256: z.string()}),
  task: z.enum(TRAINED_TASKS),
  data: dataFingerprintSchema,
  limit: z.number().nullable(),
  /** SHA-256 of the list of allowed answers. */
  answers: z.string().nullable(),
  recipe: z.enum([...RECIPES, 'coca']),
  /** What the recipe `coca` has besides. */
  coca: z
    .strictObject({
      captions: z.number(),
      cuts: z.number(),
      crop: z.number(),
      captionWeight: z.number(),
      contrastiveWeight: z.number(),
      init: z.enum(INITIAL_WEIGHTS),
    })
    .readonly()
    .optional(),
  /** Over the examples; null where updates are given. */
  epochs: z.number().nullable(),
  updates: z.number().nullable(),
  batch: z.number(),
  accumulate: z.number(),
  learningRate: z.number(),
  schedule: z.enum(SCHEDULES),
  /** Share of the updates. */
  warmup: z.number(),
  clip: z.number(),
  decay: z.number(),
  betas: z.tuple([z.number(), z.number()]).readonly(),
  labelSmoothing: z.number(),
  dropWorst: z.number(),
  dropWorstAfter: z.number(),
  freeze: z.array(z.string()).readonly(),
  seed: z.number(),
  device: z.string(),
});
export type TrainingRun = Readonly<z.infer<typeof trainingRunSchema>>;

const NAME = 'run.json';

/**
 * Makes a folder the one of a training, or checks that it is.
 * @returns whether it was before
 * @throws UsageError `run-differs` if it holds another run, `output-exists` if something else; InputError `run-corrupt`
 */
export function claimTraining(folder: string, run: TrainingRun): boolean {
  const file = path.join(folder, NAME);
  if (!fs.existsSync(file)) {
    if (fs.readdirSync(folder).some((name) => !name.startsWith('.')))
      throw new UsageError('output-exists', `${folder}: something else is in this folder`, {
        hint: 'Name another folder.',
      });
    writeAtomic(file, `${JSON.stringify(run, null, 2)}\n`);
    return false;
  }
  const differences = runDifferences(readTraining(file), run);
  if (differences.length === 0) return true;
  throw new UsageError('run-differs', `${folder} holds a training with other settings: ${differences.join('; ')}`, {
    hint: 'Name another folder for other settings; with the same, the training goes on where it stopped.',
  });
}

function readTraining(file: string): TrainingRun {
  let json: unknown;
  try {
    json = parseJson(readTextFile(file));
  } catch (cause) {
    throw new InputError('run-corrupt', `${file}: ${(cause as Error).message}`, {cause});
  }
  const parsed = trainingRunSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const {path: at, message} = parsed.error.issues[0]!;
  throw new InputError('run-corrupt', `${file} does not describe a training: ${at.join('.')}: ${message}`, {
    hint: 'Train into an empty folder.',
  });
}
