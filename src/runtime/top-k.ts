/** One score of a list, by its place. */
export interface BestScore {
  readonly index: number;
  readonly score: number;
}

/** The best scores, best first, ties to the lower place; fewer where fewer are possible: −∞ and NaN are not. */
export function topK(scores: Float32Array | Float64Array, count: number): BestScore[] {
  const best: BestScore[] = [];
  let least = -Infinity;
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index]!;
    if (!(score > least)) continue;
    let place = best.length;
    while (place > 0 && score > best[place - 1]!.score) place--;
    best.splice(place, 0, {index, score});
    if (best.length > count) best.pop();
    if (best.length === count) least = best[count - 1]!.score;
  }
  return best;
}
