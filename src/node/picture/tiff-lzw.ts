const CLEAR = 256;
const END = 257;

/**
 * The number of bytes that a strip of TIFF's LZW unpacks to, without unpacking it: a few bytes can stand for a lot. A
 * strip that is damaged counts to where it is.
 */
export function lzwLength(packed: Uint8Array): number {
  const lengths = new Uint16Array(4097).fill(1, 0, CLEAR);
  let total = 0;
  let next = END + 1;
  let bits = 9;
  let previous = -1;
  let buffer = 0;
  let held = 0;
  for (let at = 0; at < packed.length || held >= bits; ) {
    while (held < bits && at < packed.length) {
      buffer = ((buffer << 8) | packed[at++]!) & 0xffffff;
      held += 8;
    }
    if (held < bits) break;
    held -= bits;
    const code = (buffer >> held) & ((1 << bits) - 1);
    if (code === END) break;
    if (code === CLEAR) {
      next = END + 1;
      bits = 9;
      previous = -1;
      continue;
    }
    if (code > next || (code === next && previous < 0)) break;
    if (previous >= 0 && next < 4096) lengths[next++] = lengths[previous]! + 1;
    if (code >= next) break;
    total += lengths[code]!;
    previous = code;
    // TIFF widens codes one entry early.
    bits = next + 1 >= 2048 ? 12 : next + 1 >= 1024 ? 11 : next + 1 >= 512 ? 10 : 9;
  }
  return total;
}
