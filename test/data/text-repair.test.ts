import fc from 'fast-check';
import {unescapeClosedReferences, unescapeNestedReferences} from '../../src/data/html-references.js';
import {repairText} from '../../src/data/text-repair.js';

test('unescapeNestedReferences: as unescaping the closed references until nothing changes', () => {
  const piece = fc.constantFrom(
    '&',
    'amp',
    '&amp',
    ';',
    '&semi',
    'lt',
    '#38',
    '#x26',
    '&EACUTE',
    'x',
    '&#59',
    'é',
    '&#97',
  );
  fc.assert(
    fc.property(fc.array(piece, {maxLength: 25, size: 'max'}), (pieces) => {
      let text = pieces.join('');
      const nested = unescapeNestedReferences(text, (character) => character);
      for (let before = ''; before !== text; ) {
        before = text;
        text = unescapeClosedReferences(before);
      }
      expect(nested).toBe(text);
    }),
    {numRuns: 2000},
  );
});

test.each([1, 3, 11, 12, 13, 40])('repairText: references nested %i deep are resolved', (depth) => {
  expect(repairText(`a &${'amp;'.repeat(depth)}lt; b`)).toBe('a < b');
  expect(repairText(`a ${'&semi'.repeat(depth)}; b`)).toBe('a ; b');
  expect(repairText(`a ${'&#xFF1B'.repeat(depth)}； b`)).toBe('a ; b');
});
