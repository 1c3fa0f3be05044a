import {writeAtomic} from './write-atomic.js';

/** Writes a float32 matrix as NumPy reads it; the file appears whole or not at all. @throws InputError `cannot-write` */
export function writeNpy(file: string, rows: Iterable<Float32Array>, shape: readonly [number, number]): void {
  writeAtomic(file, pieces(rows, shape));
}

function* pieces(rows: Iterable<Float32Array>, shape: readonly [number, number]): Generator<Uint8Array> {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape[0]}, ${shape[1]}), }`;
  // The data begin at a multiple of 64 bytes.
  const padded = `${header.padEnd(Math.ceil((11 + header.length) / 64) * 64 - 11)}\n`;
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, padded.length & 255, padded.length >> 8]);
  yield Buffer.concat([start, Buffer.from(padded, 'latin1')]);
  for (const row of rows) yield new Uint8Array(row.buffer, row.byteOffset, row.byteLength);
}
