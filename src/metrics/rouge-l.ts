import {InputError} from '../runtime/errors.js';
import {commonSubsequence} from './common-subsequence.js';

// Weight of recall against precision, pycocoevalcap's value.
const BETA = 1.2;

/** ROUGE-L of a corpus (the mean) and of every item. */
export interface RougeLResult {
  readonly corpus: number;
  readonly perItem: Float64Array;
}

/**
 * ROUGE-L as pycocoevalcap computes it (docs/reference/early-exit.md D3): F-measure (β 1.2) of the longest common
 * subsequence; precision and recall are each the best over the references. Tokens are split at single spaces, so a
 * blank text is one empty token.
 */
export class RougeL {
  private readonly ids = new Map<string, number>();
  private readonly references: readonly (readonly Int32Array[])[];

  /** @param references tokenised references of every item. */
  constructor(references: readonly (readonly string[])[]) {
    this.references = references.map((texts, item) => {
      if (texts.length === 0)
        throw new InputError('no-references', `ROUGE-L: item ${item} has no reference; at least one is needed.`);
      return texts.map((text) =>
        Int32Array.from(text.split(' '), (token) => {
          const id = this.ids.get(token) ?? this.ids.size;
          this.ids.set(token, id);
          return id;
        }),
      );
    });
  }

  /**
   * @param hypotheses one tokenised hypothesis an item, in the order of the references.
   * @throws InputError `wrong-count`, `text-too-long` for texts of hundreds of thousands of tokens
   */
  score(hypotheses: readonly string[]): RougeLResult {
    if (hypotheses.length !== this.references.length) {
      const wanted = this.references.length;
      throw new InputError(
        'wrong-count',
        `ROUGE-L: ${hypotheses.length} hypotheses for ${wanted} items; one each is needed.`,
      );
    }
    const perItem = new Float64Array(hypotheses.length);
    let sum = 0;
    this.references.forEach((references, i) => {
      // Words that no reference has match nothing: one id for all of them.
      const tokens = Int32Array.from(hypotheses[i]!.split(' '), (token) => this.ids.get(token) ?? -1);
      let precision = 0;
      let recall = 0;
      for (const reference of references) {
        const common = commonSubsequence(tokens, reference);
        precision = Math.max(precision, common / tokens.length);
        recall = Math.max(recall, common / reference.length);
      }
      const value =
        precision > 0 && recall > 0 ? ((1 + BETA ** 2) * precision * recall) / (recall + BETA ** 2 * precision) : 0;
      perItem[i] = value;
      sum += value;
    });
    return {corpus: hypotheses.length === 0 ? Number.NaN : sum / hypotheses.length, perItem};
  }
}
