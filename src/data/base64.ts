import {InputError} from '../runtime/errors.js';

const SKIP = 64;
const PAD = 65;
const BAD = 255;
const VALUES: Uint8Array = table();

/**
 * Decodes base64 in either alphabet (`+/` or the URL-safe `-_`, even mixed), with or without padding; white space is
 * skipped.
 * @throws InputError `bad-base64` with the position: another character, data after the padding, a lone character at the
 *   end
 */
export function decodeBase64(text: string): Uint8Array {
  const out = new Uint8Array(Math.floor((text.length * 3) / 4) + 3);
  let length = 0;
  let buffer = 0;
  let characters = 0;
  let padding = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const value = code < 128 ? VALUES[code]! : BAD;
    if (value < 64) {
      if (padding > 0) throw bad(`a character after the padding, at position ${i}`);
      buffer = (buffer << 6) | value;
      if ((++characters & 3) === 0) {
        out[length++] = buffer >> 16;
        out[length++] = buffer >> 8;
        out[length++] = buffer;
        buffer = 0;
      }
    } else if (value === PAD) {
      padding++;
    } else if (value === BAD) {
      throw bad(`the character ${JSON.stringify(text[i])} at position ${i}`);
    }
  }
  const rest = characters & 3;
  if (rest === 1) throw bad('the last character stands alone: the text is cut off');
  if (padding > 2 || (padding > 0 && rest + padding !== 4)) throw bad(`${padding} padding characters do not fit`);
  if (rest === 2) out[length++] = buffer >> 4;
  if (rest === 3) {
    out[length++] = buffer >> 10;
    out[length++] = buffer >> 2;
  }
  return out.subarray(0, length);
}

/** A data URL up to its data, and whether they are base64. */
const DATA_URL = /^data:[^,]{0,200}?(;base64)?,/i;

/** Whether a text is a picture itself, not the name of one. */
export function isDataUrl(text: string): boolean {
  return DATA_URL.test(text);
}

/**
 * The bytes of a picture that is written in base64, bare or as a data URL.
 * @throws InputError `bad-base64`; what other programs write by mistake is named
 */
export function decodePicture(text: string): Uint8Array {
  const url = DATA_URL.exec(text);
  if (url !== null && url[1] === undefined) throw bad('it is a data URL without base64');
  if (/^b(['"]).*\1$/s.test(text))
    throw new InputError('bad-base64', "not base64: it is Python's b'…', the printed form of bytes", {
      hint: 'In Python, write base64.b64encode(picture).decode() instead of base64.b64encode(picture).',
    });
  return decodeBase64(url === null ? text : text.slice(url[0].length));
}

function bad(what: string): InputError {
  return new InputError('bad-base64', `not base64: ${what}`);
}

function table(): Uint8Array {
  const values = new Uint8Array(128).fill(BAD);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
  for (let i = 0; i < alphabet.length; i++) values[alphabet.charCodeAt(i)] = i;
  for (const [chars, value] of [
    ['+-', 62],
    ['/_', 63],
    [' \t\r\n', SKIP],
    ['=', PAD],
  ] as const) {
    for (const char of chars) values[char.charCodeAt(0)] = value;
  }
  return values;
}
