/**
 * Indices of the points that no other point beats in both coordinates (smaller is better), by ascending x, hence by
 * descending y. The first of equal points counts. Points with NaN are never on the front. O(m log m).
 */
export function paretoFront(x: ArrayLike<number>, y: ArrayLike<number>): number[] {
  const order: number[] = [];
  for (let i = 0; i < x.length; i++) if (!Number.isNaN(x[i]!) && !Number.isNaN(y[i]!)) order.push(i);
  order.sort((a, b) => x[a]! - x[b]! || y[a]! - y[b]! || a - b);
  const front: number[] = [];
  for (const i of order) if (front.length === 0 || y[i]! < y[front.at(-1)!]!) front.push(i);
  return front;
}
