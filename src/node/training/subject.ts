import type {Dataset, ImageSource, OnBadRow} from '../../data/dataset.js';
import type {RgbImage} from '../../data/image.js';
import type {StackName} from '../../exit/policy.js';
import type {TensorScope} from '../../runtime/tensor-scope.js';
import type {Objective} from '../../training/objective.js';
import {type LoopSettings, TrainingLoop} from '../../training/trainer.js';
import type {ValidatedModel} from './validation.js';

/** The rows of a training, and how they are read. */
export interface TrainingData {
  /** Its file or folder, for messages. */
  readonly name: string;
  readonly rows: Dataset;
  /** Only the first rows. */
  readonly limit?: number;
  readonly decode: (image: ImageSource) => Promise<RgbImage>;
  readonly signal?: AbortSignal;
  /** Called for a row that cannot be used; without it the error is thrown. */
  readonly onBadRow?: OnBadRow;
  /** Called with the number of rows that are ready. */
  readonly onProgress?: (rows: number) => void;
  /** Holds what is needed as long as the training lasts. */
  readonly scope: TensorScope;
}

/** A loop, whatever its examples are. */
export type AnyTrainingLoop = Pick<
  TrainingLoop<never>,
  'parameters' | 'update' | 'finished' | 'state' | 'restore' | 'step'
>;

/** What a family brings to a training. Borrows the model. */
export interface TrainingSubject {
  /** How many examples there are. */
  readonly examples: number;
  readonly loop: (settings: LoopSettings) => AnyTrainingLoop;
  /** The model as it is validated; the caller's. */
  readonly validated: () => ValidatedModel;
  /** All weights, where they are not those of the model's folder before the first update. */
  readonly fresh?: ReadonlyMap<string, Float32Array>;
}

/** A subject that learns from examples of one kind. */
export function trainingSubject<E>(
  objective: Objective<E>,
  examples: readonly E[],
  rest: Omit<TrainingSubject, 'examples' | 'loop'>,
): TrainingSubject {
  return {...rest, examples: examples.length, loop: (settings) => new TrainingLoop(objective, examples, settings)};
}

/** The stack whose depths validations of a family look at. */
export const VALIDATED_STACK = {ofa: 'decoder', coca: 'vision'} as const satisfies Record<string, StackName>;
