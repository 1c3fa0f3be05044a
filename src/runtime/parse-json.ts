/**
 * `JSON.parse` for text from outside. The engine's own messages quote the text around a fault, which may be a file that
 * was never meant to be shown; this one says what was wanted and where, and quotes nothing.
 * @throws SyntaxError such as "wanted ',' or '}' at line 2, character 7"
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const {wanted, at} = firstFault(text);
    throw new SyntaxError(
      at >= text.length ? `it ends where ${wanted} should be` : `wanted ${wanted} ${place(text, at)}`,
    );
  }
}

/** Where a character is, for people: lines and characters begin at 1. Text of one line has no line number. */
function place(text: string, at: number): string {
  const before = text.slice(0, at).split('\n');
  const character = `character ${before.at(-1)!.length + 1}`;
  return text.trimEnd().includes('\n') ? `at line ${before.length}, ${character}` : `at ${character}`;
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER_OR_WORD = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a string of JSON holds none
const PLAIN = /[^"\\\0-\x1f]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4})/y;

interface Fault {
  readonly wanted: string;
  /** Offset into the text, in UTF-16 code units. */
  readonly at: number;
}

/** The first place where the text cannot be JSON; without recursion, since nesting is the sender's choice. */
function firstFault(text: string): Fault {
  /** Closing brackets of what is open. */
  const open: (']' | '}')[] = [];
  let at = 0;
  const skip = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.test(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  const take = (character: string): boolean => {
    skip(SPACE);
    if (text[at] !== character) return false;
    at++;
    return true;
  };
  const string = (): Fault | undefined => {
    do skip(PLAIN);
    while (skip(ESCAPE));
    if (text[at++] === '"') return undefined;
    at--;
    return {wanted: text[at] === '\\' ? 'an escape of JSON' : 'the end of a string', at};
  };
  const key = (): Fault | undefined => {
    if (!take('"')) return {wanted: 'a name in double quotes', at};
    return string() ?? (take(':') ? undefined : {wanted: "':'", at});
  };
  for (;;) {
    // A value begins here.
    let whole = true;
    if (take('[')) {
      whole = take(']');
      if (!whole) open.push(']');
    } else if (take('{')) {
      whole = take('}');
      if (!whole) {
        open.push('}');
        const fault = key();
        if (fault) return fault;
      }
    } else if (take('"')) {
      const fault = string();
      if (fault) return fault;
    } else if (!skip(NUMBER_OR_WORD)) return {wanted: 'a value', at};
    if (!whole) continue;
    // It is whole: what is around it goes on or ends.
    while (open.length > 0 && take(open.at(-1)!)) open.pop();
    if (open.length === 0) {
      skip(SPACE);
      return {wanted: 'nothing more', at};
    }
    if (!take(',')) return {wanted: `',' or '${open.at(-1)}'`, at};
    const fault = open.at(-1) === '}' ? key() : undefined;
    if (fault) return fault;
  }
}
