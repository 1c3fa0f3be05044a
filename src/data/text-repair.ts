import {normalFormC} from '../runtime/normal-form.js';
import {unescapeClosedReferences, unescapeNestedReferences, windows1252} from './html-references.js';

const LIGATURES: Readonly<Record<string, string>> = {
  Ĳ: 'IJ',
  ĳ: 'ij',
  ŉ: 'ʼn',
  Ǳ: 'DZ',
  ǲ: 'Dz',
  ǳ: 'dz',
  Ǆ: 'DŽ',
  ǅ: 'Dž',
  ǆ: 'dž',
  Ǉ: 'LJ',
  ǈ: 'Lj',
  ǉ: 'lj',
  Ǌ: 'NJ',
  ǋ: 'Nj',
  ǌ: 'nj',
  ﬀ: 'ff',
  ﬁ: 'fi',
  ﬂ: 'fl',
  ﬃ: 'ffi',
  ﬄ: 'ffl',
  ﬅ: 'ſt',
  ﬆ: 'st',
};

// The repairs of ftfy, in its order, because one may make work for the next.
const REPAIRS: readonly ((text: string) => string)[] = [
  (text) => text.replace(/[\x80-\x9f]/g, (control) => windows1252(control.charCodeAt(0))),
  (text) => text.replace(/[ĲĳŉǱ-ǳǄ-ǌﬀ-ﬆ]/g, (ligature) => LIGATURES[ligature]!),
  (text) => text.replace(/[\uff01-\uffef\u3000]/g, (wide) => wide.normalize('NFKC')),
  (text) => text.replace(/[\u02bc\u2018-\u201b]/g, "'").replace(/[\u201c-\u201f]/g, '"'),
  (text) => text.replace(/\r\n|[\r\u2028\u2029]/g, '\n'),
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what begins a terminal's command.
  (text) => text.replace(/\x1b\[[\p{Nd};]*[a-zA-Z]/gu, ''),
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed.
  (text) => text.replace(/[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, ''),
  normalFormC,
];

/**
 * Repairs a text as ftfy 6 does, line by line until nothing changes (references nested a dozen deep, which ftfy
 * resolves one level a round, are resolved at once): HTML references, controls, ligatures, full-width
 * letters, curly quotes, line ends, terminal escapes, composed letters (docs/reference/coca.md 4.1). Its repair of
 * wrongly decoded bytes (`schÃ¶n`) is a large heuristic that is left out.
 */
export function repairText(text: string): string {
  let escaped = true;
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      // A tag says that references are meant to be there, in this line and all after it.
      escaped &&= !line.includes('<');
      return repairLine(line, escaped);
    })
    .join('');
}

// Every round takes time in proportion to the text: deeper nests of references are undone in one.
const MOST_ROUNDS = 12;

function repairLine(line: string, escaped: boolean): string {
  for (let round = 1; round <= 2 * MOST_ROUNDS; round++) {
    const resolve = round === MOST_ROUNDS ? unescapeNested : unescapeClosedReferences;
    const after = repairCharacters(escaped ? resolve(line) : line);
    if (after === line) break;
    line = after;
  }
  return line;
}

function unescapeNested(text: string): string {
  return unescapeNestedReferences(text, repairCharacters);
}

function repairCharacters(text: string): string {
  return REPAIRS.reduce((repaired, repair) => repair(repaired), text);
}
