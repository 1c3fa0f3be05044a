// Loops over rows of numbers in this process's memory, in double precision: for the few rows of a decoder's step, where calls into a backend
// cost more than the numbers.

/** The biased layer norm of rows as wide as `gain`. */
export function layerNormRows(
  to: Float32Array,
  x: Float32Array,
  gain: Float32Array,
  bias: Float32Array,
  epsilon: number,
): void {
  const size = gain.length;
  for (let start = 0; start < x.length; start += size) {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += x[start + i]!;
    const mean = sum / size;
    let squares = 0;
    for (let i = 0; i < size; i++) {
      const centred = x[start + i]! - mean;
      squares += centred * centred;
    }
    const scale = 1 / Math.sqrt(squares / size + epsilon);
    for (let i = 0; i < size; i++) to[start + i] = (x[start + i]! - mean) * scale * gain[i]! + bias[i]!;
  }
}
