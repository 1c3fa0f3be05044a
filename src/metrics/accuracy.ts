import {InputError} from '../runtime/errors.js';

/** Accuracy of a labelled task. */
export interface AccuracyResult {
  readonly n: number;
  readonly correct: number;
  /** correct / n; NaN if there are no items. */
  readonly accuracy: number;
  /** Row and column names of the matrix: labels first met first, then predictions that are no label. */
  readonly classes: readonly string[];
  /** [label][prediction] */
  readonly confusion: readonly (readonly number[])[];
}

/**
 * Accuracy and confusion matrix.
 * @param classes names to use, in this order; others are appended as they come.
 */
export function accuracy(
  labels: readonly string[],
  predictions: readonly string[],
  classes: readonly string[] = [],
): AccuracyResult {
  if (labels.length !== predictions.length)
    throw new InputError(
      'wrong-count',
      `accuracy: ${predictions.length} predictions for ${labels.length} labels; one each is needed.`,
    );
  const names = [...new Set([...classes, ...labels, ...predictions])];
  const index = new Map(names.map((name, i) => [name, i]));
  const confusion = names.map(() => names.map(() => 0));
  let correct = 0;
  labels.forEach((label, i) => {
    const prediction = predictions[i]!;
    confusion[index.get(label)!]![index.get(prediction)!]!++;
    if (label === prediction) correct++;
  });
  return {n: labels.length, correct, accuracy: correct / labels.length, classes: names, confusion};
}
