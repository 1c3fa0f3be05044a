import {TokenTrie} from '../../generation/token-trie.js';
import type {OfaPipeline} from '../../tasks/ofa-processor.js';
import {type EncodedExample, encodeRows} from '../../training/encode-rows.js';
import {encoderOutput} from '../../training/encodings.js';
import type {TrainedTask} from '../../training/examples.js';
import {trainingRows} from '../../training/rows.js';
import {TaskObjective, type TaskSettings} from '../../training/task-objective.js';
import {readRowPicture} from '../files/read-picture.js';
import {EncodingFile} from './encoding-file.js';
import {type TrainingData, type TrainingSubject, trainingSubject} from './subject.js';
import {validatedDecoder} from './validation.js';

/** Where encodings are kept, and what they are of. */
export interface EncodingPlace {
  readonly folder: string;
  /** SHA-256 of the weights, and of the data. */
  readonly model: string;
  readonly data: string;
}

/**
 * An OFA whose decoder learns from what the frozen encoder gives. The encoder runs once over the rows.
 * @param pipeline   borrowed
 * @param answers    questions: those that are allowed
 * @throws InputError `label-missing`, `folder-in-use`, `cannot-write`; AbortError
 */
export async function ofaSubject(
  pipeline: OfaPipeline,
  task: TrainedTask,
  {rows, limit, signal, onBadRow, onProgress, scope}: TrainingData,
  settings: TaskSettings,
  place: EncodingPlace,
  answers?: readonly string[],
): Promise<TrainingSubject> {
  const {model, tokenizer} = pipeline;
  const allowed =
    answers &&
    new TokenTrie(
      answers.map((answer) => pipeline.answerTokens(answer)),
      tokenizer.eos,
    );
  const {folder, ...of} = place;
  const store = scope.hold(EncodingFile.open(folder, {task, ...of, limit: limit ?? null, size: model.stateSize}));
  const read = trainingRows(rows, ({image}) => Promise.resolve(readRowPicture(image)), limit);
  const examples = await encodeRows(pipeline, task, read, store, {signal, onBadRow, onProgress, allowed});
  const encoderOf = (some: readonly EncodedExample[]) => {
    const encodings = some.map(({key}) => store.read(key));
    return Promise.resolve(() => encoderOutput(model, encodings));
  };
  return trainingSubject(new TaskObjective(model, encoderOf, settings), examples, {
    validated: () => validatedDecoder(model, tokenizer),
  });
}
