// GPT-2's printable stand-in for each byte, which CLIP took over: byte-level BPE sees no white space and no control characters.

const isPrintable = (byte: number): boolean =>
  (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;

/** Character of each byte. */
export const BYTE_ALPHABET: readonly string[] = byteAlphabet();
const BYTES: ReadonlyMap<string, number> = new Map(BYTE_ALPHABET.map((char, byte) => [char, byte]));

/** The same characters in the order of vocabularies: bytes that stand for themselves, then the others. */
export function alphabetInOrder(): string[] {
  const bytes = Array.from({length: 256}, (_, byte) => byte);
  return [...bytes.filter(isPrintable), ...bytes.filter((byte) => !isPrintable(byte))].map(
    (byte) => BYTE_ALPHABET[byte]!,
  );
}

/** A text's UTF-8 bytes, each as its character. */
export function toByteAlphabet(text: string): string {
  let out = '';
  for (const byte of new TextEncoder().encode(text)) out += BYTE_ALPHABET[byte]!;
  return out;
}

/** The way back to bytes. */
export function fromByteAlphabet(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of text) {
    const byte = BYTES.get(char);
    // Only a hand-made dictionary has symbols outside the alphabet; they stay as they are.
    if (byte === undefined) bytes.push(...new TextEncoder().encode(char));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function byteAlphabet(): string[] {
  let others = 0;
  return Array.from({length: 256}, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : 256 + others++));
}
