/**
 * The smallest whole number that is enough, by doubling and halving.
 * @param enough true for every number from some one on
 * @param low    known not to be enough
 * @param high   above it; doubled until it is enough
 * @param most   beyond which nobody looks
 * @returns      Infinity if no number up to `most` is enough
 */
export function fewest(
  enough: (n: number) => boolean,
  low: number,
  high: number,
  most = Number.POSITIVE_INFINITY,
): number {
  let [below, above] = [low, high];
  while (!enough(above)) {
    above *= 2;
    if (above > most) return Number.POSITIVE_INFINITY;
  }
  while (above - below > 1) {
    const middle = Math.floor((below + above) / 2);
    if (enough(middle)) above = middle;
    else below = middle;
  }
  return above;
}
