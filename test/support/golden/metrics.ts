import {golden} from './golden.js';

interface Scores {
  readonly corpus: number;
  readonly per_image: readonly number[];
}

/** metrics.json: scores of 50 made-up captions by pycocoevalcap, and texts with their Java tokens. */
export interface MetricsGolden {
  readonly references: Readonly<Record<string, readonly string[]>>;
  readonly hypotheses: Readonly<Record<string, readonly string[]>>;
  readonly bleu: {readonly corpus: readonly number[]; readonly per_image: readonly (readonly number[])[]};
  readonly cider: Scores;
  readonly rouge_l: Scores;
  readonly cider_d_corpus_df: Scores;
  readonly cider_d_df_file: Scores & {
    readonly ref_len: number;
    readonly document_frequency: Readonly<Record<string, number>>;
  };
  readonly ptb_tokenizer: readonly {readonly text: string; readonly tokens: string}[];
  readonly edge_cases: readonly {
    readonly references: readonly string[];
    readonly hypothesis: string;
    /** "hypothesis / reference" */
    readonly second_image: string;
    readonly bleu_corpus: readonly number[];
    readonly rouge_per_image: readonly number[];
    readonly cider_per_image: readonly number[];
  }[];
}

/** The golden, with its references and hypotheses as lists in the same order. */
export function metricsGolden(): {
  readonly g: MetricsGolden;
  readonly references: readonly (readonly string[])[];
  readonly hypotheses: readonly string[];
} {
  const g = golden<MetricsGolden>('metrics.json');
  return {
    g,
    references: Object.values(g.references),
    hypotheses: Object.keys(g.references).map((id) => g.hypotheses[id]![0]!),
  };
}

/** Fails unless all numbers agree to 1e-9, the tolerance of the caption metrics. */
export function expectClose(actual: ArrayLike<number>, wanted: readonly number[], tolerance = 1e-9): void {
  expect(actual.length).toBe(wanted.length);
  wanted.forEach((value, i) => {
    if (!(Math.abs(actual[i]! - value) <= tolerance))
      throw new Error(`[${i}] is ${actual[i]}, but ${value} is wanted (within ${tolerance}).`);
  });
}
