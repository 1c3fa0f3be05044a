import {parseJson} from '../../src/runtime/parse-json.js';
import {seededRandom} from '../../src/runtime/random.js';

const faultOf = (text: string): string => {
  try {
    parseJson(text);
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError);
    expect((error as Error).cause).toBeUndefined();
    return (error as Error).message;
  }
  throw new Error(`${JSON.stringify(text)} is JSON`);
};

test('parseJson: JSON gives its value', () => {
  expect(parseJson(' {"a": [1, -2.5e3, "\\u0041\u2028"], "b": null} ')).toEqual({a: [1, -2500, 'A\u2028'], b: null});
});

test.each([
  ['', 'it ends where a value should be'],
  ['{"a": ', 'it ends where a value should be'],
  ['{"a": "secret', 'it ends where the end of a string should be'],
  ['{"a": 1', "it ends where ',' or '}' should be"],
  ['{', 'it ends where a name in double quotes should be'],
  ['root:x:0:0', 'wanted a value at character 1'],
  ['{secret: 1}', 'wanted a name in double quotes at character 2'],
  ['{"secret" 1}', "wanted ':' at character 11"],
  ['[1, 2, ,3]', 'wanted a value at character 8'],
  ['[1, 02]', "wanted ',' or ']' at character 6"],
  ['{"a": 1,}', 'wanted a name in double quotes at character 9'],
  ['{"a": [1}]', "wanted ',' or ']' at character 9"],
  ['["a\tb"]', 'wanted the end of a string at character 4'],
  ['["\\secret"]', 'wanted an escape of JSON at character 3'],
  ['{"a": 1} secret', 'wanted nothing more at character 10'],
  ['{\n  "a": 1\n  "b": 2\n}\n', "wanted ',' or '}' at line 3, character 3"],
])('parseJson: %j says what was wanted and where, and quotes nothing', (text, message) => {
  expect(faultOf(text)).toBe(message);
});

test('parseJson: any damage to JSON is found, at a place where the text is still a beginning of JSON', () => {
  const random = seededRandom(5);
  const whole = JSON.stringify({a: [1, -2.5e-3, true, null, 'x\n"\\ü'], b: {c: {}, d: []}, e: 'f'}, null, 1);
  const letters = '{}[]",:\\e-+.01tn \n\u0001x';
  let refused = 0;
  for (let i = 0; i < 2000; i++) {
    const at = Math.floor(random.next() * whole.length);
    const text = `${whole.slice(0, at)}${letters[Math.floor(random.next() * letters.length)]}${whole.slice(at + (i % 2))}`;
    try {
      JSON.parse(text);
    } catch {
      refused++;
      expect(faultOf(text)).toMatch(/^(it ends where .* should be|wanted .* at (line \d+, )?character \d+)$/);
    }
  }
  expect(refused).toBeGreaterThan(1000);
});

test('parseJson: a fault behind deep nesting and a long string is found without recursion', () => {
  const depth = 200_000;
  const text = `${'['.repeat(depth)}"${'\\n'.repeat(depth)}"x`;
  expect(faultOf(text)).toBe(`wanted ',' or ']' at character ${3 * depth + 3}`);
});
