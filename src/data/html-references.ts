import {decodeHTML} from 'entities';

// A reference as Python's html.unescape sees one; the longest name that there is has 31 characters and its semicolon.
const REFERENCE = /&(?:#(\d+);?|#[xX]([0-9a-fA-F]+);?|[^\t\n\f <&#;]{1,32};?)/g;
// A reference as ftfy sees one: the semicolon is not optional.
const CLOSED_REFERENCE = /&#?[0-9A-Za-z]{1,24};/g;
const LONGEST_CLOSED = 27;
// Controls in 0x80 … 0x9F are read as Windows-1252, as browsers do; the five that it leaves undefined stay.
const C1 = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';

/** Python's `html.unescape`: HTML 5's named and numeric character references, once. */
export function unescapeHtml(text: string): string {
  return text.replace(REFERENCE, (reference, decimal?: string, hexadecimal?: string) => {
    if (decimal !== undefined) return character(Number.parseInt(decimal, 10));
    if (hexadecimal !== undefined) return character(Number.parseInt(hexadecimal, 16));
    return decodeHTML(reference);
  });
}

/**
 * The references that ftfy resolves before its other repairs: closed ones, and names of lower-case letters written in
 * capitals (`&EACUTE;`) for the character in capitals.
 */
export function unescapeClosedReferences(text: string): string {
  return text.replace(CLOSED_REFERENCE, unescapeClosedReference);
}

/**
 * The same of references in references to any depth (`&amp;amp;lt;`), in one pass: what a reference stands for may be
 * the beginning or the end of the next one.
 * @param repair what else is done to a character that a reference stands for
 */
export function unescapeNestedReferences(text: string, repair: (character: string) => string): string {
  const written: string[] = [];
  for (const character of text) {
    // A character that a reference stands for may end another one.
    for (const pending = [character]; pending.length > 0; ) {
      const unit = pending.pop()!;
      written.push(unit);
      const at = unit === ';' ? lastOpened(written) : -1;
      if (at < 0) continue;
      const reference = written.slice(at).join('');
      const plain = reference.replace(CLOSED_REFERENCE, unescapeClosedReference);
      if (plain === reference) continue;
      written.length = at;
      for (const next of [...repair(plain)].reverse()) pending.push(next);
    }
  }
  return written.join('');
}

/** Where the reference begins that the last of these characters may end; -1 where none begins. */
function lastOpened(written: readonly string[]): number {
  const least = Math.max(0, written.length - LONGEST_CLOSED);
  let at = written.length - 2;
  while (at >= least && written[at] !== '&' && written[at] !== ';') at--;
  return at >= least && written[at] === '&' ? at : -1;
}

function unescapeClosedReference(reference: string): string {
  const plain = unescapeHtml(reference);
  // Only a part of the name was one: the text is as it is meant to be.
  if (plain !== reference) return plain.endsWith(';') && reference !== '&semi;' ? reference : plain;
  const lower = reference.toLowerCase();
  if (reference !== reference.toUpperCase() || lower === reference) return reference;
  const small = unescapeHtml(lower);
  return small === lower || small.endsWith(';') ? reference : small.toUpperCase();
}

/** The character of a Windows-1252 byte from 0x80 to 0x9F. */
export function windows1252(byte: number): string {
  return C1[byte - 0x80]!;
}

function character(code: number): string {
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd';
  if (code >= 0x80 && code <= 0x9f) return windows1252(code);
  if (code === 0x0d) return '\r';
  const control = code < 9 || code === 0x0b || (code > 0x0d && code < 0x20) || code === 0x7f;
  const noCharacter = (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;
  return control || noCharacter ? '' : String.fromCodePoint(code);
}
