// Python's \s and str.strip() in Unicode mode; JavaScript's \s differs at U+FEFF, U+001C…1F and U+0085.
const SPACE = '\\t-\\r\\x1c-\\x1f \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const SPACE_RUN = new RegExp(`[${SPACE}]{2,}`, 'g');
const SPACES = new RegExp(`[${SPACE}]+`);
const PUNCTUATION = /[!-/:-@[-`{-~]/g;

/**
 * The authors' `pre_caption` (docs/reference/ofa-mue.md 8).
 * @param maxWords keeps the first words; default: all
 */
export function preCaption(text: string, maxWords?: number): string {
  return clean(text, maxWords, true);
}

/** The authors' `pre_question`: like `preCaption`, without the `<person>` rule. */
export function preQuestion(text: string, maxWords?: number): string {
  return clean(text, maxWords, false);
}

/** Deletes the 32 ASCII punctuation characters, then strips white space: how captions are compared and printed. */
export function removePunctuation(text: string): string {
  return strip(text.replace(PUNCTUATION, ''));
}

/** A caption as a training target: without punctuation, the first `maxWords` words joined by single spaces. */
export function captionTarget(caption: string, maxWords = 20): string {
  return removePunctuation(caption)
    .split(SPACES)
    .filter((word) => word !== '')
    .slice(0, maxWords)
    .join(' ');
}

function clean(text: string, maxWords: number | undefined, person: boolean): string {
  let out = text
    .toLowerCase()
    .replace(/^[,.!?*#:;~]+/, '')
    .replaceAll('-', ' ')
    .replaceAll('/', ' ');
  if (person) out = out.replaceAll('<person>', 'person');
  out = trimCharacter(trimCharacter(out.replace(SPACE_RUN, ' '), '\n', false), ' ', true);
  if (maxWords === undefined) return out;
  const words = out.split(' ');
  return words.length > maxWords ? words.slice(0, maxWords).join(' ') : out;
}

/** Strips a character. The pattern `/ +$/` would take quadratic time on a text of many spaces. */
function trimCharacter(text: string, char: string, bothEnds: boolean): string {
  let start = 0;
  let end = text.length;
  while (end > start && text[end - 1] === char) end--;
  while (bothEnds && start < end && text[start] === char) start++;
  return text.slice(start, end);
}

function strip(text: string): string {
  const isSpace = (at: number): boolean => SPACES.test(text[at]!);
  let start = 0;
  let end = text.length;
  while (end > start && isSpace(end - 1)) end--;
  while (start < end && isSpace(start)) start++;
  return text.slice(start, end);
}
