import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {checkArguments} from '../../runtime/check-arguments.js';
import {openDataset} from '../dataset/open.js';
import {TRAINER_OPTIONS, TRAINING_DEFAULTS, Trainer, type TrainerOptions} from './trainer.js';

/** What a training takes, from two updates on its first rows. Seconds are those of this machine as it is now. */
export interface TrainingPlan {
  readonly examples: number;
  /** Numbers that are trained. */
  readonly trained: number;
  readonly updates: number;
  readonly secondsPerUpdate: number;
  readonly trainingSeconds: number;
  readonly encodingSeconds: number;
  readonly encodingBytes: number;
  readonly diskBytes: number;
  /** The most that this process has had. */
  readonly memoryBytes: number;
}

/** Rows that are encoded to measure. */
const SAMPLE_ROWS = 12;
/** A weight and its two moments, in float32. */
const STATE_BYTES = 12;

/**
 * Measures two updates in a folder of its own, which is gone afterwards; the run's is not touched.
 * @throws the errors of `Trainer.open` and of its steps
 */
export async function planTraining(options: TrainerOptions): Promise<TrainingPlan> {
  checkArguments('planTraining', {options: [options, TRAINER_OPTIONS]});
  const rows = await countRows(options);
  const out = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-plan-'));
  try {
    const sample = Math.max(1, Math.min(SAMPLE_ROWS, rows));
    const start = performance.now();
    let encoded = start;
    using trainer = await Trainer.open({
      ...{...options, out, limit: sample, updates: 2, epochs: undefined, states: undefined, validate: undefined},
      onEncoded: (count) => {
        if (count === 1 || encoded === start) encoded = performance.now();
      },
    });
    const share = rows / sample;
    const encodingSeconds = ((performance.now() - encoded) / 1000) * share;
    const examples = Math.round(trainer.examples * share);
    const {batch = TRAINING_DEFAULTS.batch, accumulate = TRAINING_DEFAULTS.accumulate, epochs = 10} = options;
    const updates = options.updates ?? Math.ceil((epochs * examples) / (batch * accumulate));
    let secondsPerUpdate = 0;
    // The second one: the first pays for what is made once.
    for await (const {ms} of trainer) secondsPerUpdate = ms / 1000;
    const folderBytes = (name: string): number => {
      const folder = path.join(out, name);
      // A CoCa keeps no encodings.
      if (!fs.existsSync(folder)) return 0;
      return fs.readdirSync(folder).reduce((sum, file) => sum + fs.statSync(path.join(folder, file)).size, 0);
    };
    const encodingBytes = Math.round(folderBytes('encodings') * share);
    const models = (options.validate === undefined ? 1 : 2) * folderBytes('last');
    return {
      examples,
      trained: trainer.trained,
      updates,
      secondsPerUpdate,
      trainingSeconds: secondsPerUpdate * updates,
      encodingSeconds,
      encodingBytes,
      diskBytes: encodingBytes + STATE_BYTES * trainer.trained + models,
      memoryBytes: process.resourceUsage().maxRSS * 1024,
    };
  } finally {
    fs.rmSync(out, {recursive: true, force: true});
  }
}

async function countRows({data, task, dataset, limit = Number.POSITIVE_INFINITY}: TrainerOptions): Promise<number> {
  let rows = 0;
  for await (const _ of openDataset(data, {task, ...dataset, onBadRow: () => undefined})) if (++rows >= limit) break;
  return rows;
}
