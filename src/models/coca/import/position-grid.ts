/** Weights of every input sample for every output sample, [outputs][inputs]. */
type Resampling = readonly Float64Array[];

/** The cubic kernel with a = −0.5, which Pillow and antialiasing PyTorch use (docs/reference/coca.md 5). */
function cubic(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return 1.5 * t ** 3 - 2.5 * t ** 2 + 1;
  return t < 2 ? -0.5 * t ** 3 + 2.5 * t ** 2 - 4 * t + 2 : 0;
}

function resampling(from: number, to: number): Resampling {
  const scale = from / to;
  const width = Math.max(scale, 1);
  return Array.from({length: to}, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * width + 0.5));
    const last = Math.min(from, Math.trunc(centre + 2 * width + 0.5));
    const row = new Float64Array(from);
    for (let j = first; j < last; j++) row[j] = cubic((j - centre + 0.5) / width);
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((w) => w / sum);
  });
}

/**
 * Position vectors of another grid of patches: the class position stays, the others are resampled along both axes
 * (docs/reference/coca.md 3.4).
 * @param values [from² + 1, size]. @returns [to² + 1, size]
 */
export function resizeGrid(values: Float32Array, from: number, to: number, size: number): Float32Array {
  const weights = resampling(from, to);
  const columns = new Float64Array(from * to * size); // [from rows, to columns, size]
  for (let y = 0; y < from; y++)
    for (let x = 0; x < to; x++)
      for (let k = 0; k < from; k++) {
        const w = weights[x]![k]!;
        if (w)
          for (let c = 0; c < size; c++)
            columns[(y * to + x) * size + c]! += w * values[(1 + y * from + k) * size + c]!;
      }
  const all = new Float64Array((to * to + 1) * size);
  all.set(values.subarray(0, size));
  for (let y = 0; y < to; y++)
    for (let k = 0; k < from; k++) {
      const w = weights[y]![k]!;
      if (w) for (let i = 0; i < to * size; i++) all[(1 + y * to) * size + i]! += w * columns[k * to * size + i]!;
    }
  return Float32Array.from(all);
}

/**
 * Position vectors of another text length: linear, without corner alignment, over all rows.
 * @param values   [from, size]
 * @returns        [to, size]
 */
export function resizeRows(values: Float32Array, from: number, to: number, size: number): Float32Array {
  const out = new Float32Array(to * size);
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.min(Math.floor(at), from - 1);
    const high = Math.min(low + 1, from - 1);
    for (let c = 0; c < size; c++)
      out[i * size + c] = values[low * size + c]! * (1 - (at - low)) + values[high * size + c]! * (at - low);
  }
  return out;
}
