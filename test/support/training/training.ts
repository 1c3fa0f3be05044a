import fs from 'node:fs';
import {openDataset} from '../../../src/node/dataset/open.js';
import type {OfaModel} from '../../../src/models/ofa/model.js';
import type {OfaPipeline} from '../../../src/tasks/ofa-processor.js';
import {type EncodedExample, encodeRows} from '../../../src/training/encode-rows.js';
import {encoderOutput, MemoryEncodings} from '../../../src/training/encodings.js';
import type {TrainedTask} from '../../../src/training/examples.js';
import {type TrainingRow, trainingRows} from '../../../src/training/rows.js';
import {TaskObjective, type TaskSettings} from '../../../src/training/task-objective.js';
import {type LoopSettings, TrainingLoop} from '../../../src/training/trainer.js';

const DATA = {caption: 'caption-val', 'snli-ve': 'snli-ve-calibration', vqa: 'vqa-val'} as const;

/** The first rows of the scenes' validation sets. */
export const sceneRows = (task: TrainedTask, limit: number): AsyncGenerator<TrainingRow> =>
  trainingRows(
    openDataset(`data/scenes/${DATA[task]}.jsonl`, {task}),
    ({image}) => fs.promises.readFile((image as {path: string}).path),
    limit,
  );

export type TrainingSettings = LoopSettings & TaskSettings;

/** Settings of a short training. */
export const settingsOf = (changes: Partial<TrainingSettings> = {}): TrainingSettings => ({
  recipe: 'mue',
  updates: 4,
  batch: 2,
  accumulate: 1,
  learningRate: 1e-3,
  schedule: 'polynomial',
  warmup: 0,
  clip: 1,
  decay: 0.01,
  betas: [0.9, 0.999],
  labelSmoothing: 0,
  dropWorst: 0,
  dropWorstAfter: 0,
  freeze: ['encoder.*'],
  seed: 0,
  ...changes,
});

/** Rows as examples with kept encodings. */
export interface EncodedRows {
  readonly examples: readonly EncodedExample[];
  readonly store: MemoryEncodings;
}

export async function encodedRows(pipeline: OfaPipeline, task: TrainedTask, limit: number): Promise<EncodedRows> {
  const store = new MemoryEncodings();
  return {examples: await encodeRows(pipeline, task, sceneRows(task, limit), store), store};
}

/** A loop that trains the decoder on the first of these rows. */
export function trainingLoop(
  model: OfaModel,
  {examples, store}: EncodedRows,
  changes?: Partial<TrainingSettings>,
): TrainingLoop<EncodedExample> {
  const encoderOf = (some: readonly EncodedExample[]) => {
    const encodings = some.map(({key}) => store.read(key));
    return Promise.resolve(() => encoderOutput(model, encodings));
  };
  const settings = settingsOf(changes);
  return new TrainingLoop(new TaskObjective(model, encoderOf, settings), examples, settings);
}
