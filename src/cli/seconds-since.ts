/** Seconds since a reading of performance.now(), for people. */
export function secondsSince(start: number): string {
  return ((performance.now() - start) / 1e3).toFixed(2);
}
