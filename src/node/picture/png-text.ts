import zlib from 'node:zlib';

// PNG's chunks of text, of which those matter that may say how a picture is to be turned.

/** The types of chunks: plain, compressed, international. */
export const TEXTS: ReadonlySet<string> = new Set(['tEXt', 'zTXt', 'iTXt']);

/** The most bytes of a text, Pillow's limit. */
const MAX_TEXT = 2 ** 20;

/**
 * @returns the text of a chunk, if it has this key; undefined also where it is damaged or too long
 */
export function readPngText(type: string, chunk: Uint8Array, key: string): Uint8Array | undefined {
  const head = Buffer.from(`${key}\0`, 'latin1');
  if (Buffer.compare(chunk.subarray(0, head.length), head) !== 0) return undefined;
  const rest = chunk.subarray(head.length);
  if (type === 'tEXt') return rest;
  if (type === 'zTXt') return rest[0] === 0 ? inflated(rest.subarray(1)) : undefined;
  const [packed, method] = rest;
  // A language and a translated key come before the text.
  const language = rest.indexOf(0, 2);
  const translated = language < 0 ? -1 : rest.indexOf(0, language + 1);
  if (translated < 0) return undefined;
  const text = rest.subarray(translated + 1);
  if (packed === 0) return text;
  return method === 0 ? inflated(text) : undefined;
}

function inflated(text: Uint8Array): Uint8Array | undefined {
  try {
    return zlib.inflateSync(text, {maxOutputLength: MAX_TEXT});
  } catch {
    return undefined;
  }
}

/** The bytes of a "raw profile" as ImageMagick writes it: three lines of heading, then hexadecimal digits. */
export function unhex(profile: Uint8Array | undefined): Uint8Array | undefined {
  if (profile === undefined) return undefined;
  const lines = Buffer.from(profile).toString('latin1').split('\n');
  return Buffer.from(lines.slice(3).join(''), 'hex');
}
