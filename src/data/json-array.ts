import {InputError} from '../runtime/errors.js';
import type {ByteChunks} from './lines.js';
import {parseJson} from '../runtime/parse-json.js';

const MAX_ITEM = 16 * 2 ** 20;
/** The characters of a key or of a text beside the arrays; longer ones are none that is asked for. */
const MAX_TEXT = 256;

/** An entry of an array of a JSON object, or a text beside the arrays. */
export interface JsonMember {
  readonly key: string;
  readonly value: unknown;
}

/**
 * The elements of the array under `key` of a JSON object, one at a time, so that a file larger than memory can be read.
 * @throws InputError `bad-json`: no such array, an element that is no JSON or larger than 16 Mi characters, a file that
 *   is cut off; `not-an-object` for an array
 */
export async function* jsonArrayItems(chunks: ByteChunks, key: string): AsyncGenerator<unknown> {
  const scanner = new MemberScanner([key], []);
  for await (const {value} of scan(chunks, scanner)) yield value;
  if (!scanner.found.has(key)) throw new InputError('bad-json', `there is no array "${key}"`);
}

/**
 * The elements of several arrays of a JSON object, and texts under other keys, in the order of the file; those that are
 * not there are left out.
 * @throws InputError as `jsonArrayItems` does
 */
export async function* jsonMembers(
  chunks: ByteChunks,
  {arrays, texts = []}: {readonly arrays: readonly string[]; readonly texts?: readonly string[]},
): AsyncGenerator<JsonMember> {
  yield* scan(chunks, new MemberScanner(arrays, texts));
}

async function* scan(chunks: ByteChunks, scanner: MemberScanner): AsyncGenerator<JsonMember> {
  const decoder = new TextDecoder('utf-8', {fatal: true});
  for await (const chunk of chunks) {
    yield* scanner.push(decode(decoder, chunk));
    if (scanner.done) return;
  }
  yield* scanner.push(decode(decoder));
  scanner.end();
}

function decode(decoder: TextDecoder, chunk?: Uint8Array): string {
  try {
    return decoder.decode(chunk, {stream: chunk !== undefined});
  } catch (cause) {
    throw new InputError('bad-json', 'the file is not UTF-8 text', {cause});
  }
}

/** Finds the elements by strings and brackets alone; the inside of an element is left to JSON.parse. */
class MemberScanner {
  /** Whether all that is asked for has come. */
  done = false;
  /** The arrays that have begun. */
  readonly found = new Set<string>();
  /** What has not come yet. */
  readonly #arrays: Set<string>;
  readonly #texts: Set<string>;
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** The last string at depth 1, where the keys are; the key whose value comes or has come. */
  #text = '';
  #key: string | undefined;
  /** The array at hand, the beginning of its element at hand, and the number of those before. */
  #array: string | undefined;
  #item = '';
  #items = 0;

  constructor(arrays: readonly string[], texts: readonly string[]) {
    this.#arrays = new Set(arrays);
    this.#texts = new Set(texts);
  }

  /** Takes the next piece of the file. Yields what ends in it. */
  *push(text: string): Generator<JsonMember> {
    let start = 0;
    for (let i = 0; i < text.length && !this.done; i++) {
      const char = text[i]!;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (char === '\\') this.#escaped = true;
        else if (char === '"') this.#inString = false;
        if (this.#depth !== 1) continue;
        if (!this.#inString) yield* this.#takeText();
        else if (this.#text.length < MAX_TEXT) this.#text += char;
      } else if (char === '"') {
        this.#inString = true;
        if (this.#depth === 1) this.#text = '';
      } else if (char === ':' && this.#depth === 1) {
        this.#key = this.#text;
      } else if (char === '{' || char === '[') {
        if (this.#depth === 0 && char === '[') throw arrayOfRows();
        if (char === '[' && this.#depth === 1 && this.#key !== undefined && this.#arrays.delete(this.#key)) {
          this.#array = this.#key;
          this.found.add(this.#key);
          this.#items = 0;
          start = i + 1;
        }
        this.#depth++;
      } else if (char === '}' || char === ']') {
        this.#depth--;
        if (this.#array !== undefined && this.#depth === 1) {
          yield* this.#finish(text.slice(start, i), true);
          this.#array = undefined;
          this.done = this.#arrays.size === 0 && this.#texts.size === 0;
        }
      } else if (char === ',') {
        if (this.#depth === 1) this.#key = undefined;
        if (this.#array === undefined || this.#depth !== 2) continue;
        yield* this.#finish(text.slice(start, i), false);
        start = i + 1;
      }
    }
    if (this.#array !== undefined) this.#item += text.slice(start);
    if (this.#item.length > MAX_ITEM)
      throw new InputError(
        'bad-json',
        `entry ${this.#items + 1} of "${this.#array}" is longer than ${MAX_ITEM} characters`,
      );
  }

  /** @throws InputError `bad-json` if the file may not end here */
  end(): void {
    if (this.#array !== undefined) throw new InputError('bad-json', `the array "${this.#array}" is cut off`);
    if (this.#depth > 0 || this.#inString) throw new InputError('bad-json', 'the file is cut off');
  }

  *#takeText(): Generator<JsonMember> {
    const key = this.#key;
    if (key === undefined || this.#text.length >= MAX_TEXT || !this.#texts.delete(key)) return;
    yield {key, value: parse(`"${this.#text}"`, `"${key}"`)};
  }

  *#finish(end: string, last: boolean): Generator<JsonMember> {
    const text = this.#item + end;
    this.#item = '';
    if (last && this.#items === 0 && text.trim() === '') return;
    this.#items++;
    yield {key: this.#array!, value: parse(text, `entry ${this.#items} of "${this.#array}"`)};
  }
}

function parse(text: string, what: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw new InputError('bad-json', `${what} is not JSON: ${(cause as Error).message}`, {cause});
  }
}

/** The error for a file that holds one JSON array of rows. */
export function arrayOfRows(): InputError {
  return new InputError('not-an-object', 'the file is a JSON array, not JSON lines', {
    hint: "Write each of its objects on a line of its own, into a .jsonl file: jq -c '.[]' rows.json > rows.jsonl",
  });
}
