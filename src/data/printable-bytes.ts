/** A token's bytes for displays: control characters escaped (`\n`), and all bytes beyond ASCII where they are no UTF-8 (`\xe4`). */
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
