import {fitText} from '../../src/charts/svg.js';
import {repairText} from '../../src/data/text-repair.js';
import {ptbTokenize} from '../../src/metrics/ptb-tokenize.js';
import {recallAt} from '../../src/metrics/retrieval.js';
import {RougeL} from '../../src/metrics/rouge-l.js';

// A form that takes quadratic time needs minutes or hours for one of these texts, more than a test is given.
const LENGTH = 1_000_000;

/** A million characters of a repeated piece, or a few less, so that the last piece is whole. */
const many = (piece: string): string => piece.repeat(Math.floor(LENGTH / piece.length));

test('fitText: answers 1,000,000 characters, cut in the middle', () => {
  const cut = fitText(many('w '), 3_500_000);
  expect(cut.length).toBeGreaterThan(LENGTH / 4);
  expect(cut).toMatch(/w…$/);
});

test('recallAt: answers 1,000,000 texts of one picture', () => {
  const row = new Float32Array(LENGTH).fill(0.5);
  expect(recallAt([row], new Array<number>(LENGTH).fill(0), [1])).toEqual([{k: 1, textToImage: 1, imageToText: 1}]);
});

test('RougeL: answers 1,000,000 characters of a caption beside one that begins, ends or goes on differently', () => {
  const long = many('a dog ');
  expect(new RougeL([[long.trim()]]).score([long.trim()]).corpus).toBeCloseTo(1, 12);
  expect(new RougeL([[`${many('cat ')}dog`]]).score([`one ${long}`]).corpus).toBeGreaterThan(0);
  expect(new RougeL([['the dog saw a dog']]).score([`one ${long}too`]).corpus).toBeGreaterThan(0);
});

test.each(['%', 'a%', '.'])('ptbTokenize: answers 1,000,000 characters of %s', (piece) => {
  expect(ptbTokenize(`${many(piece)} dog`)).toMatch(/dog$/);
});

test('repairText: answers 1,000,000 characters of references in references', () => {
  expect(repairText(`&${many('amp;')}`)).toBe('&');
  expect(repairText(`${many('&semi')};`)).toBe(';');
});

test('repairText: answers 1,000,000 marks on one letter', () => {
  expect(repairText(`a${many('\u0301\u0323')}`)).toMatch(/^\u1ea1\u0323{499999}\u0301{500000}$/);
});
