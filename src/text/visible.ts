/**
 * Control characters but tab and line feed: C0, delete, C1. A terminal obeys them. And those of bidirectional text that
 * change the order in which what follows them is shown: a name may look like another one.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/**
 * Text that a terminal shows and does not obey: names of pictures, rows and tensors come from anywhere. A control
 * character becomes its escape in JSON, so that JSON stays the same value.
 */
export function visible(text: string): string {
  return text.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
