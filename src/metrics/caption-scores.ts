import {InputError} from '../runtime/errors.js';
import {Bleu, type BleuResult} from './bleu.js';
import {CiderD, type CiderDResult, type DocumentFrequency} from './cider-d.js';
import {ptbTokenize} from './ptb-tokenize.js';
import {RougeL, type RougeLResult} from './rouge-l.js';

/** Names as coco-caption prints them. METEOR and SPICE are left out: their reference implementations need Java. */
export type CaptionMetric = 'BLEU-1' | 'BLEU-2' | 'BLEU-3' | 'BLEU-4' | 'ROUGE-L' | 'CIDEr-D';

/** Scores of a corpus, and of every item for resampling. */
export interface CaptionScores {
  readonly n: number;
  readonly metrics: Readonly<Record<CaptionMetric, number>>;
  readonly bleu: BleuResult;
  readonly rougeL: RougeLResult;
  readonly ciderD: CiderDResult;
}

export interface CaptionScorerOptions {
  /**
   * Text to tokens separated by spaces. Default `ptbTokenize`, as in coco-caption; the identity for tokenised texts.
   */
  readonly tokenize?: (text: string) => string;
  /** Document frequencies of another corpus; by default those of the references given. */
  readonly documentFrequency?: DocumentFrequency;
}

/**
 * BLEU-1…4, ROUGE-L and CIDEr-D as pycocoevalcap computes them (docs/reference/early-exit.md D3). References are
 * prepared once, and many sets of hypotheses can be scored against them.
 */
export class CaptionScorer {
  private readonly tokenize: (text: string) => string;
  private readonly bleu: Bleu;
  private readonly rougeL: RougeL;
  private readonly ciderD: CiderD;

  /**
   * @param references of every item, as written
   * @throws InputError if an item has none, or there are no items
   */
  constructor(references: readonly (readonly string[])[], options: CaptionScorerOptions = {}) {
    if (references.length === 0) throw new InputError('no-items', 'caption scores: no items; at least one is needed.');
    this.tokenize = options.tokenize ?? ptbTokenize;
    const tokens = references.map((texts) => texts.map(this.tokenize));
    this.bleu = new Bleu(tokens);
    this.rougeL = new RougeL(tokens);
    this.ciderD = new CiderD(tokens, options.documentFrequency);
  }

  /** @param hypotheses as written, in the order of the references. */
  score(hypotheses: readonly string[]): CaptionScores {
    const tokens = hypotheses.map(this.tokenize);
    const bleu = this.bleu.score(tokens);
    const rougeL = this.rougeL.score(tokens);
    const ciderD = this.ciderD.score(tokens);
    const [b1, b2, b3, b4] = bleu.corpus as readonly [number, number, number, number];
    const metrics = {
      'BLEU-1': b1,
      'BLEU-2': b2,
      'BLEU-3': b3,
      'BLEU-4': b4,
      'ROUGE-L': rougeL.corpus,
      'CIDEr-D': ciderD.corpus,
    };
    return {n: hypotheses.length, metrics, bleu, rougeL, ciderD};
  }
}
