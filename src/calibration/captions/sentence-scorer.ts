import {CiderD, type DocumentFrequency} from '../../metrics/cider-d.js';
import {ngramCounts, words} from '../../metrics/ngrams.js';
import {ptbTokenize} from '../../metrics/ptb-tokenize.js';
import {RougeL} from '../../metrics/rouge-l.js';

export const SENTENCE_SCORES = ['rouge-l', 'cider-d'] as const;
export type SentenceScore = (typeof SENTENCE_SCORES)[number];

/** The largest value of a sentence's score. */
export const LARGEST_SCORE: Readonly<Record<SentenceScore, number>> = {'rouge-l': 1, 'cider-d': 10};

/** Scores captions of one picture by its references. */
export type SentenceScorer = (references: readonly string[], captions: readonly string[]) => Float64Array;

/**
 * A score of sentences that owes nothing to the other pictures that are scored.
 * @param corpus references of pictures of their own, as written: CIDEr-D weighs words by how many of these have them
 */
export function sentenceScorer(score: SentenceScore, corpus: readonly (readonly string[])[]): SentenceScorer {
  const frequency = score === 'cider-d' ? documentFrequency(corpus) : undefined;
  return (references, captions) => {
    const tokens = references.map(ptbTokenize);
    const all = captions.map(() => tokens);
    const scorer = frequency ? new CiderD(all, frequency) : new RougeL(all);
    return scorer.score(captions.map(ptbTokenize)).perItem;
  };
}

/** In how many pictures each n-gram of up to four words stands. */
function documentFrequency(corpus: readonly (readonly string[])[]): DocumentFrequency {
  const counts = new Map<string, number>();
  for (const references of corpus) {
    const own = new Set(references.flatMap((text) => [...ngramCounts(words(ptbTokenize(text)), 4).keys()]));
    for (const gram of own) counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return {images: Math.max(1, corpus.length), counts};
}
