import type {RecordedPass} from '../../exit/recording.js';
import type {Answer} from '../../tasks/answer.js';
import type {AnswerWriter, ForbiddingRule} from '../../tasks/processor.js';

/** A layer of a pass, for people. */
export interface ExplainedLayer {
  readonly layer: number;
  /** cos(before, after). */
  readonly similarity: number;
  /** Stacks with a head: the likeliest word, p₁ − p₂, p₁, and the entropy in nats. */
  readonly top?: string;
  readonly margin?: number;
  readonly max?: number;
  readonly entropy?: number;
  /** Whether the word is that of the last layer. */
  readonly agrees?: boolean;
  /** The rule that kept the search from the likeliest word, by the name of its option. */
  readonly forbidden?: ForbiddingRule;
  /** Score and threshold of the policy, up to its exit. */
  readonly score?: number;
  readonly threshold?: number;
}

/** A pass through a stack: a stream of the encoder, or a decoding step. */
export interface ExplainedPass {
  readonly stack: string;
  readonly step?: number;
  /** The token generated in this step, such as ` man`; in a closed task, the answer. */
  readonly token?: string;
  readonly depth: number;
  /** The layer after which the plan leaves; null for never. */
  readonly exit: number | null;
  /** The first layer that says what the last one says. */
  readonly agreesFrom?: number;
  readonly layers: readonly ExplainedLayer[];
}

/** The findings of `mue explain`. */
export interface Explanation {
  readonly image: string;
  readonly task: string;
  readonly question?: string;
  /** The answer at full depth. */
  readonly answer: string;
  /** Name of the plan's policy. */
  readonly policy: string;
  readonly encoder: readonly ExplainedPass[];
  readonly decoder: readonly ExplainedPass[];
}

export interface ExplanationParts {
  readonly image: string;
  readonly task: string;
  readonly question?: string;
  readonly policy: string;
  readonly answer: Answer;
  readonly passes: readonly RecordedPass[];
  readonly tokenizer: {token(id: number): string; readonly size: number; readonly eos: number};
  /** Closed tasks: the allowed answers, in the order of the scores. */
  readonly choices?: readonly string[];
  /** How the answer was generated; absent where it was scored. */
  readonly writer?: Pick<AnswerWriter, 'forbiddenBy'>;
}

/** Puts words to what was recorded. Steps that only fed a prompt are left out. */
export function explanation({
  image,
  task,
  question,
  policy,
  answer,
  passes,
  tokenizer,
  choices,
  writer,
}: ExplanationParts): Explanation {
  const word = (id: number, of: number): string =>
    choices && of === choices.length ? choices[id]! : id === tokenizer.eos ? 'end' : tokenizer.token(id);
  const decoder = passes.filter(hasHead);
  // The last step writes the end; the prompt's come first.
  const written = [...answer.tokens.map((id) => tokenizer.token(id)), 'end'];
  const first = choices ? 0 : Math.max(0, decoder.length - written.length);
  // A stack that runs for every token before the one that writes has that one's words.
  const tokens = new Map(decoder.slice(first).map(({step}, i) => [step, choices ? undefined : written[i]]));
  const before = passes.filter((pass) => !hasHead(pass) && (pass.step === undefined || tokens.has(pass.step)));
  return {
    image,
    task,
    question,
    answer: answer.text,
    policy,
    encoder: before.map((pass) =>
      explainedPass(pass, pass.step === undefined ? undefined : tokens.get(pass.step), word),
    ),
    decoder: decoder
      .slice(first)
      .map((pass, i) =>
        explainedPass(pass, choices ? answer.text : written[i], word, (id) =>
          writer?.forbiddenBy(answer.tokens.slice(0, i), id),
        ),
      ),
  };
}

function hasHead({layers}: RecordedPass): boolean {
  return layers[0]?.confidences !== undefined;
}

function explainedPass(
  {stack, step, depth, exit, layers}: RecordedPass,
  token: string | undefined,
  word: (id: number, of: number) => string,
  forbiddenBy: (id: number) => ForbiddingRule | undefined = () => undefined,
): ExplainedPass {
  const last = layers.at(-1)?.confidences?.[0]?.argmax;
  const agreesFrom = layers.find(
    ({confidences}) => confidences !== undefined && confidences[0]!.argmax === last,
  )?.layer;
  return {
    stack,
    step,
    token,
    depth,
    exit: exit ?? null,
    agreesFrom,
    layers: layers.map(({layer, similarity, confidences, words, score, threshold}) => {
      // Beam 1 and one question: one row. Where a candidate is a row, the first stands for all.
      const sure = confidences?.[0];
      return {
        layer,
        similarity,
        top: sure && word(sure.argmax, words!),
        margin: sure?.margin,
        max: sure?.max,
        entropy: sure?.entropy,
        agrees: sure && sure.argmax === last,
        forbidden: sure && forbiddenBy(sure.argmax),
        score,
        threshold,
      };
    }),
  };
}
