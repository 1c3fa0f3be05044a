import {InputError} from '../runtime/errors.js';
import type {ByteChunks} from './lines.js';

const MAX_ITEM = 16 * 2 ** 20;

/**
 * The elements of the array under `key` of a JSON object, one at a time, so that a file larger than memory can be read.
 * @throws InputError `bad-json`: no such array, an element that is no JSON or larger than 16 Mi characters, a file that
 *   is cut off
 */
export async function* jsonArrayItems(chunks: ByteChunks, key: string): AsyncGenerator<unknown> {
  const decoder = new TextDecoder('utf-8', {fatal: true});
  const scanner = new ArrayScanner(key);
  for await (const chunk of chunks) {
    for (const item of scanner.push(decode(decoder, chunk))) yield item;
    if (scanner.done) return;
  }
  for (const item of scanner.push(decode(decoder))) yield item;
  if (!scanner.done)
    throw new InputError('bad-json', scanner.found ? `the array "${key}" is cut off` : `there is no array "${key}"`);
}

function decode(decoder: TextDecoder, chunk?: Uint8Array): string {
  try {
    return decoder.decode(chunk, {stream: chunk !== undefined});
  } catch (cause) {
    throw new InputError('bad-json', 'the file is not UTF-8 text', {cause});
  }
}

/** Finds the elements by strings and brackets alone; the inside of an element is left to JSON.parse. */
class ArrayScanner {
  done = false;
  found = false;
  private readonly key: string;
  private depth = 0;
  private inString = false;
  private escaped = false;
  /** The last string at depth 1, where the keys are, and whether its colon has come. */
  private name = '';
  private colon = false;
  private item = '';
  private items = 0;

  constructor(key: string) {
    this.key = key;
  }

  /** Takes the next piece of the file. Yields the elements that end in it. */
  *push(text: string): Generator<unknown> {
    let start = 0;
    for (let i = 0; i < text.length && !this.done; i++) {
      const char = text[i]!;
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (char === '\\') this.escaped = true;
        else if (char === '"') this.inString = false;
        if (!this.found && this.depth === 1 && this.inString && this.name.length < 256) this.name += char;
        continue;
      }
      if (char === '"') {
        this.inString = true;
        if (!this.found && this.depth === 1) {
          this.name = '';
          this.colon = false;
        }
      } else if (char === ':' && this.depth === 1) {
        this.colon = true;
      } else if (char === '{' || char === '[') {
        if (!this.found && char === '[' && this.depth === 1 && this.colon && this.name === this.key) {
          this.found = true;
          start = i + 1;
        }
        this.depth++;
      } else if (char === '}' || char === ']') {
        this.depth--;
        if (this.found && this.depth === 1) {
          yield* this.finish(text.slice(start, i), true);
          this.done = true;
        }
      } else if (char === ',' && this.found && this.depth === 2) {
        yield* this.finish(text.slice(start, i), false);
        start = i + 1;
      }
    }
    if (this.found && !this.done) this.item += text.slice(start);
    if (this.item.length > MAX_ITEM)
      throw new InputError(
        'bad-json',
        `entry ${this.items + 1} of "${this.key}" is longer than ${MAX_ITEM} characters`,
      );
  }

  private *finish(end: string, last: boolean): Generator<unknown> {
    const text = this.item + end;
    this.item = '';
    if (last && this.items === 0 && text.trim() === '') return;
    this.items++;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new InputError(
        'bad-json',
        `entry ${this.items} of "${this.key}" is not JSON: ${cause instanceof Error ? cause.message : cause}`,
        {cause},
      );
    }
    yield value;
  }
}
