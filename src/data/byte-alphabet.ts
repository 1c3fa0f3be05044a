import {append} from '../runtime/extremes.js';
// GPT-2's alphabet of bytes, which CLIP took over: a printable character stands for each byte, so that byte-level BPE
// sees no white space and no control characters.

const isPrintable = (byte: number): boolean =>
  (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;

/** Byte → its character. */
const BYTE_ALPHABET: readonly string[] = byteAlphabet();
const BYTES: ReadonlyMap<string, number> = new Map(BYTE_ALPHABET.map((char, byte) => [char, byte]));

/** The characters in the order of vocabularies: bytes that stand for themselves, then the others. */
export function alphabetInOrder(): string[] {
  const bytes = Array.from({length: 256}, (_, byte) => byte);
  return [...bytes.filter(isPrintable), ...bytes.filter((byte) => !isPrintable(byte))].map(
    (byte) => BYTE_ALPHABET[byte]!,
  );
}

/** The UTF-8 bytes of a text, each as its character. */
export function toByteAlphabet(text: string): string {
  let out = '';
  for (const byte of new TextEncoder().encode(text)) out += BYTE_ALPHABET[byte]!;
  return out;
}

/** The bytes that characters of the alphabet stand for. */
export function fromByteAlphabet(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of text) {
    const byte = BYTES.get(char);
    // Only a hand-made dictionary has symbols outside the alphabet; they stay as they are.
    if (byte === undefined) append(bytes, new TextEncoder().encode(char));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function byteAlphabet(): string[] {
  let others = 0;
  return Array.from({length: 256}, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : 256 + others++));
}

/**
 * A token's bytes for displays: control characters are escaped (`\n`), and bytes beyond ASCII where they are no UTF-8
 * (`\xe4`).
 */
export function printableBytes(bytes: Uint8Array): string {
  try {
    const text = new TextDecoder('utf-8', {ignoreBOM: true, fatal: true}).decode(bytes);
    return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => JSON.stringify(char).slice(1, -1));
  } catch {
    return Array.from(bytes, (byte) =>
      byte > 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`,
    ).join('');
  }
}
