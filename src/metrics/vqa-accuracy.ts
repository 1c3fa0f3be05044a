import {InputError} from '../runtime/errors.js';

/** Accepted answers of one question and the confidence of each, in [0, 1]. */
export type AnswerConfidences = Readonly<Record<string, number>>;

/** Score of a set of questions. */
export interface VqaAccuracyResult {
  readonly n: number;
  /** Mean confidence of the predicted answers; NaN if there are no items. */
  readonly accuracy: number;
  readonly perItem: Float64Array;
}

/** Confidence of the predicted answer among the accepted ones, 0 for any other answer (ofa_mue.md 12), and the mean of it. */
export function vqaAccuracy(
  references: readonly AnswerConfidences[],
  predictions: readonly string[],
): VqaAccuracyResult {
  if (references.length !== predictions.length)
    throw new InputError(
      'wrong-count',
      `VQA: ${predictions.length} answers for ${references.length} questions; one each is needed.`,
    );
  // An answer may be called 'constructor': only own properties count.
  const perItem = Float64Array.from(references, (accepted, i) =>
    Object.hasOwn(accepted, predictions[i]!) ? accepted[predictions[i]!]! : 0,
  );
  return {n: references.length, accuracy: perItem.reduce((sum, x) => sum + x, 0) / references.length, perItem};
}
