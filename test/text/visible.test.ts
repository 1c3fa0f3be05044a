import {createOutput} from '../../src/cli/core/output.js';
import {visible} from '../../src/text/visible.js';

test('visible: control characters are shown, tabs, line breaks and letters of all kinds stay', () => {
  expect(visible('\x1b[31mred\x07\x9b1m\r\x7f\0')).toBe('\\u001b[31mred\\u0007\\u009b1m\\u000d\\u007f\\u0000');
  expect(visible('a\tb\nç 日本 🦈')).toBe('a\tb\nç 日本 🦈');
});

test('visible: characters that turn the order of what follows are shown, right-to-left letters stay', () => {
  expect(visible('gpj\u202egnp.\u2066x\u2069')).toBe('gpj\\u202egnp.\\u2066x\\u2069');
  const all = [...'\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'];
  for (const character of all) expect(visible(character)).toMatch(/^\\u20[26][\da-e]$/);
  expect(visible('כלב \u200f')).toBe('כלב \u200f');
});

test('createOutput: no line obeys what is in a name, and JSON keeps its value', () => {
  const written: string[] = [];
  const write = (text: string): void => {
    written.push(text);
  };
  const out = createOutput({stdout: write, stderr: write}, false);
  const row = {image: 'a\x1b]0;title\x07\x9b2J.png'};
  out.data(JSON.stringify(row));
  out.say(row.image);
  out.warn(row.image);
  for (const character of ['\x1b', '\x07', '\x9b']) expect(written.join('')).not.toContain(character);
  expect(JSON.parse(written[0]!)).toEqual(row);
});
