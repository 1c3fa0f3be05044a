/** A stream of pseudo-random numbers; the same seed gives the same stream on every machine. */
export interface Random {
  /** The next integer in [0, 2 ** 32). */
  uint32(): number;
  /** The next number in [0, 1), with 32 random bits. */
  next(): number;
  /** The next integer in [0, n); n at most 2 ** 32. */
  below(n: number): number;
  /** Puts the list in random order, in place. @returns the list. */
  shuffle<T extends {readonly length: number; [index: number]: number}>(list: T): T;
}

/**
 * sfc32 (Chris Doty-Humphrey's small fast counting generator), its state filled by splitmix32 from the seed.
 * @param seed any number; its integer part modulo 2 ** 32 counts.
 */
export function seededRandom(seed: number): Random {
  let mix = seed >>> 0;
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) | 0;
  };
  let a = splitmix();
  let b = splitmix();
  let c = splitmix();
  let counter = 1;
  const uint32 = (): number => {
    const result = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + result;
    c |= 0;
    return result >>> 0;
  };
  // The first numbers still resemble the seed.
  for (let i = 0; i < 12; i++) uint32();
  const next = (): number => uint32() / 2 ** 32;
  // Not Math.floor: this is the inner loop of every bootstrap.
  const below = (n: number): number => (next() * n) >>> 0;
  return {
    uint32,
    next,
    below,
    shuffle(list) {
      for (let i = list.length - 1; i > 0; i--) {
        const j = below(i + 1);
        const held = list[i]!;
        list[i] = list[j]!;
        list[j] = held;
      }
      return list;
    },
  };
}
