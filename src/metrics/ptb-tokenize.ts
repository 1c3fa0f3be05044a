// Penn-Treebank tokens as the Stanford tokeniser (3.4.1, -preserveLines -lowerCase) makes them of captions. Written
// from its behaviour on probes, not from its source; texts unlike captions (mail headers, formulas) may come out
// differently.

/** Tokens that pycocoevalcap drops. Lower-case brackets (`-lrb-`) are not among them, nor runs such as `!!`. */
const DROPPED = new Set(["''", "'", '``', '`', '.', '?', '!', ',', ':', '-', '--', '...', ';']);

const W = '[\\p{L}\\p{M}\\p{N}]';
const ABBREVIATIONS =
  'adj|adm|adv|al|ala|alex|apr|aug|ave|bhd|blvd|brig|bros|calif|capt|cf|cie|co|col|colo|conn|corp|cos|cpl|ct|dak|dec|dept|det|dr|drs|ens|' +
  'esq|est|etc|ext|feb|fla|fri|ft|ga|gen|gov|hon|inc|ind|insp|jan|jos|jr|jul|jun|kan|ky|lt|ltd|maj|mar|md|mfg|mich|mme|mo|mon|mont|mr|' +
  'mrs|ms|mt|mtg|neb|nev|nov|oct|penn|pfc|ph|plc|pres|prof|pte|pty|pvt|rd|rep|reps|rev|rt|sen|sens|sep|sept|seq|sfc|sgt|spc|sq|sr|st|ste|' +
  'sys|tel|tenn|thu|thurs|tue|tues|univ|va|vs|vt|wed|wis|wm|wyo|ph\\.d|[a-z]';
const SUFFIX = "(?:s|m|d|re|ve|ll)(?!['\\p{L}\\p{N}])";

/** Every kind of token longer than one character. The longest match wins; of equally long ones, the first. */
const KINDS: readonly RegExp[] = [
  'https?://[^\\s"<>()]*[^\\s"<>().,;:!?]',
  '@[a-z_][\\w]*|#\\p{L}+',
  '<[a-z/][^<>]*>',
  // Numbers, times, dates, fractions; a sign or a point may come first.
  '[-+]?[.,]?\\d+(?:[.,:/-]\\d+)*',
  '\\d+ \\d+/\\d+(?![\\d/])',
  // u.s., p.m., and sentences or domains without a space: dog.cat
  '\\p{L}(?:\\.\\p{L})+\\.(?!\\p{L})',
  '\\p{L}+(?:[.!?]\\p{L}+)+',
  `(?:${ABBREVIATIONS})\\.(?!\\p{L})`,
  '(?:art|ca|fig|nos?|op|pp|prop)\\.(?= ?\\d)',
  `\\p{L}+\\.(?=,)`,
  // Words, with hyphens, slashes and underscores inside.
  `${W}+(?:[-_/]${W}+)*`,
  `w/(?=o\\b)o`,
  // Apostrophes that do not split.
  `[dol]'(?!(?:s|m|d|re|ve|ll)\\b)\\p{L}{2,}|ma'am|c'mon|'(?:cause|em|til|n'|n(?!\\p{L})|\\d0s)|ol'|y'(?=\\p{L})|\\p{L}+(?=n't(?!\\p{L}))`,
  `n't(?!\\p{L})|'n(?!\\p{L})|'t(?=(?:is|was)(?!\\p{L}))|'${SUFFIX}`,
  '[:;=]-?[()]|[:;=]-?[dp](?!\\p{L})|\\^_\\^',
  "_+|[!?]+|\\.{3}|-{2,}|''|``",
].map((pattern) => new RegExp(pattern, 'iuy'));
// An address for mail, in two parts: many starts share one sign.
const MAILBOX = /[\p{L}\p{N}._%+-]+/iuy;
const MAIL_HOST = /@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*/iuy;
// Company names keep their ampersand only in capitals.
const CAPITALS = /[A-Z]+(?:&[A-Z]+)+(?![\p{L}\p{N}])/uy;
/** Words that are two tokens. */
const SPLIT: ReadonlyMap<string, string> = new Map(
  Object.entries({
    cannot: 'can not',
    gonna: 'gon na',
    gotta: 'got ta',
    wanna: 'wan na',
    gimme: 'gim me',
    lemme: 'lem me',
  }),
);
const WRITTEN: ReadonlyMap<string, string> = new Map(
  Object.entries({
    '(': '-lrb-',
    ')': '-rrb-',
    '[': '-lsb-',
    ']': '-rsb-',
    '{': '-lcb-',
    '}': '-rcb-',
    '"': "''",
    '«': '``',
    '»': "''",
    '‹': '`',
    '›': "'",
    '“': '``',
    '”': "''",
    '‘': '`',
    '–': '--',
    '—': '--',
    '―': '--',
    '…': '...',
    '½': '1/2',
    '¼': '1/4',
    '¾': '3/4',
    '£': '#',
    '€': '$',
    '¢': 'cents',
  }),
);
const ENTITIES: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&apos;': "'",
  '&nbsp;': ' ',
};

/**
 * Tokens of a caption, lower-case, without punctuation, separated by single spaces: what pycocoevalcap scores
 * (docs/reference/early-exit.md D3). "A man's dog, isn't it?" → "a man 's dog is n't it".
 */
export function ptbTokenize(text: string): string {
  // The original deletes what it cannot read: symbols beyond the basic plane, joiners, soft hyphens.
  const plain = text
    .replace(/&(?:amp|lt|gt|quot|apos|nbsp);/g, (entity) => ENTITIES[entity]!)
    .replace(/’/g, "'")
    .replace(/\u{AD}|\u{FE0F}/gu, '')
    .replace(/[\s\u{200B}-\u{200D}\u{FEFF}]+|(?![\p{L}\p{M}\p{N}])[\u{10000}-\u{10FFFF}]/gu, ' ');
  const tokens: string[] = [];
  const mailEnd = mailEnds(plain);
  let at = 0;
  while (at < plain.length) {
    if (plain[at] === ' ') {
      at++;
      continue;
    }
    const token = longest(plain, at, mailEnd(at));
    at += token.length;
    const lower = token.toLowerCase();
    const written =
      WRITTEN.get(lower) ??
      SPLIT.get(lower) ??
      (/^[:;=]-?[()]$/.test(lower) ? lower.replace(/[()]/, (b) => WRITTEN.get(b)!) : lower);
    // A mixed number is one token with a no-break space inside.
    if (!DROPPED.has(written) && !/^-{2,}$/.test(written)) tokens.push(written.replace(/(?<=\d) /, '\u{A0}'));
  }
  return tokens.join(' ');
}

/**
 * Where an address for mail ends that begins at a place; 0 where none begins. Places are asked in ascending order: the
 * run of characters that may be a mailbox is read once for all places in it, since each might be a beginning.
 */
function mailEnds(text: string): (at: number) => number {
  let runEnd = 0;
  let hostEnd = 0;
  return (at) => {
    if (at < runEnd) return hostEnd;
    runEnd = endOf(MAILBOX, text, at);
    hostEnd = runEnd === 0 ? 0 : endOf(MAIL_HOST, text, runEnd);
    return hostEnd;
  };
}

/** Where the match of a sticky pattern ends; 0 without one. */
function endOf(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : 0;
}

/** The longest token at a place. @param mailEnd as `mailEnds` gives it */
function longest(text: string, at: number, mailEnd: number): string {
  const capitals = endOf(CAPITALS, text, at);
  if (capitals > 0) return text.slice(at, capitals);
  const character = at + String.fromCodePoint(text.codePointAt(at)!).length;
  const end = KINDS.reduce((most, kind) => Math.max(most, endOf(kind, text, at)), Math.max(character, mailEnd));
  const best = text.slice(at, end);
  // A word that ends in n't is the word and n't.
  const negated = /^(.+)n't$/iu.exec(`${best}${text.slice(end, end + 2)}`);
  return negated !== null && best.toLowerCase().endsWith('n') && !best.includes("'") ? negated[1]! : best;
}
