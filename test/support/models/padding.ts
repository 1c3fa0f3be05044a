const PAD = 1;

/** Rows of token ids, right-padded to the longest. */
export function padded(rows: readonly (readonly number[])[]): number[][] {
  const length = Math.max(...rows.map((row) => row.length));
  return rows.map((row) => [...row, ...new Array<number>(length - row.length).fill(PAD)]);
}

/** Rows of token ids without their padding. */
export function unpadded(rows: readonly (readonly number[])[]): number[][] {
  return rows.map((row) => row.filter((id) => id !== PAD));
}
