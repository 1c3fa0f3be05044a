/** One of many, by its place. */
export interface BestScore {
  readonly index: number;
  readonly score: number;
}

/**
 * The best of `size` scores, best first, ties to the lower place; fewer where fewer are possible: −∞ and NaN are not.
 * @param at score of a place, asked once
 */
export function bestScores(size: number, count: number, at: (index: number) => number): BestScore[] {
  const best: BestScore[] = [];
  for (let index = 0; index < size; index++) {
    const score = at(index);
    if (!(score > -Infinity) || (best.length === count && !(score > best[count - 1]!.score))) continue;
    let place = best.length;
    while (place > 0 && score > best[place - 1]!.score) place--;
    best.splice(place, 0, {index, score});
    if (best.length > count) best.pop();
  }
  return best;
}
