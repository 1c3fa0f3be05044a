import {createOutput} from '../../src/cli/core/output.js';
import {visible} from '../../src/text/visible.js';

test('visible: control characters are shown, tabs, line breaks and letters of all kinds stay', () => {
  expect(visible('\x1b[31mred\x07\x9b1m\r\x7f\0')).toBe('\\u001b[31mred\\u0007\\u009b1m\\u000d\\u007f\\u0000');
  expect(visible('a\tb\nç 日本 🦈')).toBe('a\tb\nç 日本 🦈');
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
