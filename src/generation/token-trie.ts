import {checkArguments, COUNT, LIST, ROWS} from '../runtime/check-arguments.js';

/**
 * The allowed answers as a tree of tokens (docs/reference/ofa-mue.md 8). An answer is entered as its token ids and the
 * end symbol; the begin symbol is the root.
 */
export class TokenTrie {
  readonly #root: Node = new Map();

  constructor(
    answers: Iterable<readonly number[]>,
    private readonly eos: number,
  ) {
    checkArguments('new TokenTrie', {answers: [answers, ROWS], eos: [eos, COUNT]});
    for (const answer of answers) {
      checkArguments('new TokenTrie', {answer: [answer, LIST]});
      let node = this.#root;
      for (const token of [...answer, eos]) {
        const next = node.get(token) ?? new Map();
        node.set(token, next);
        node = next;
      }
    }
  }

  /** Tokens that may follow a prefix; only the end symbol once the prefix has left the tree. */
  allowed(prefix: readonly number[]): readonly number[] {
    let node: Node | undefined = this.#root;
    for (const token of prefix) node = node?.get(token);
    return node && node.size > 0 ? [...node.keys()] : [this.eos];
  }
}

interface Node extends Map<number, Node> {}
