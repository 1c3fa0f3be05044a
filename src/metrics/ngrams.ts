/** Tokens of a tokenised text, split at any white space; none for a blank text. */
export function words(text: string): string[] {
  const trimmed = text.trim();
  return trimmed === '' ? [] : trimmed.split(/\s+/u);
}

/** Counts of all n-grams of 1 … `order` tokens. Keys are the tokens joined by one space. */
export function ngramCounts(tokens: readonly string[], order: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let from = 0; from < tokens.length; from++) {
    let gram = '';
    for (let n = 0; n < order && from + n < tokens.length; n++) {
      gram = n === 0 ? tokens[from]! : `${gram} ${tokens[from + n]}`;
      counts.set(gram, (counts.get(gram) ?? 0) + 1);
    }
  }
  return counts;
}
