import fc from 'fast-check';
import {normalFormC} from '../../src/runtime/normal-form.js';

test('normalFormC: as the engine normalises, with long runs of marks of all classes', () => {
  const mark = fc.constantFrom(
    '\u0301',
    '\u0323',
    '\u0334',
    '\u0345',
    '\u0344',
    '\u093c',
    '\u094d',
    '\u20dd',
    '\u0dda',
    '\u05b0',
    '\u0488',
    '\u{1d165}',
  );
  const run = fc.array(mark, {minLength: 50, maxLength: 90, size: 'max'}).map((marks) => marks.join(''));
  fc.assert(
    fc.property(fc.constantFrom('', 'a', '\u00e1', '\u0915'), run, run, (letter, first, second) => {
      const text = `${letter}${first}e${second}`;
      expect(normalFormC(text)).toBe(text.normalize('NFC'));
    }),
    {numRuns: 200},
  );
});
