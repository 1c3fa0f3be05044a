// Strings of SVG, for the few fixed charts of a report: no DOM, no script, no ids (several charts share one page).

/** Colours that differ for every common kind of colour blindness (Okabe and Ito), darkest contrast first. */
export const COLOURS: readonly string[] = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#aa4499',
  '#b07d00',
  '#3b9fd6',
  '#444444',
  '#882255',
];
export const INK = '#222222';
export const MUTED = '#5c5c5c';
export const GRID = '#e4e4e4';
const FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif";

type Attributes = Readonly<Record<string, string | number | undefined>>;

/** Text as XML: markup and quotes escaped; characters that XML forbids, and halves of surrogate pairs, replaced. */
export function escapeXml(text: string): string {
  return text
    .replace(/[\p{Cs}\u{FFFE}\u{FFFF}]|(?![\t\n\r])[\p{Cc}]/gu, '\u{FFFD}')
    .replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** An element. `children` is markup, made by these functions; attribute values are escaped. */
export function element(name: string, attributes: Attributes, children = ''): string {
  const list = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? round(value) : escapeXml(value!)}"`)
    .join('');
  return children === '' ? `<${name}${list}/>` : `<${name}${list}>${children}</${name}>`;
}

/** A line of text. */
export function label(x: number, y: number, text: string, attributes: Attributes = {}): string {
  return element('text', {x, y, fill: INK, ...attributes}, escapeXml(text));
}

/** Text that a browser shows on hover, and a screen reader reads. */
export function tooltip(text: string | undefined): string {
  return text === undefined ? '' : element('title', {}, escapeXml(text));
}

/** Width of a text in this font, estimated from above: good enough to keep labels apart. */
export function textWidth(text: string, size = 12): number {
  let width = 0;
  for (const c of text) width += relativeWidth(c);
  return width * size;
}

/** The text, cut with an ellipsis so that it is at most this wide, but for one character. */
export function fitText(text: string, width: number, size = 12): string {
  let sum = 0;
  let end = 0;
  let room = true;
  for (const c of text) {
    sum += relativeWidth(c);
    room &&= end === 0 || (sum + relativeWidth('…')) * size <= width;
    if (room) end += c.length;
  }
  return sum * size <= width ? text : `${text.slice(0, end).trimEnd()}…`;
}

/** Width of a character as a share of the size of the font. */
function relativeWidth(c: string): number {
  if (/[\u{1100}-\u{10FFFF}]/u.test(c)) return 1.05;
  if (/[A-Z@%MWmw—]/.test(c)) return 0.78;
  return /[ iljtf.,:;|'!()/[\]]/.test(c) ? 0.36 : 0.6;
}

/** A number in as few digits as it takes. */
export function round(value: number): string {
  return String(Math.round(value * 100) / 100 || 0);
}

/**
 * A whole SVG document.
 * @param width, height in pixels
 * @param summary for people who cannot see the picture
 * @param body    markup
 */
export function svg(width: number, height: number, title: string, summary: string, body: string): string {
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${round(width)} ${round(height)}`,
    width,
    height,
    role: 'img',
    'font-family': FONT,
    'font-size': 12,
    style: 'max-width:100%;height:auto',
  };
  const background = element('rect', {width, height, fill: '#ffffff'});
  return element('svg', attributes, `${tooltip(title)}${element('desc', {}, escapeXml(summary))}${background}${body}`);
}

/** Title and subtitle at the top left. @returns markup, and the height taken in pixels */
export function heading(
  title: string,
  subtitle: string | undefined,
  width: number,
): {readonly markup: string; readonly height: number} {
  const first = label(16, 26, fitText(title, width - 32, 16), {'font-size': 16, 'font-weight': 600});
  if (subtitle === undefined || subtitle === '') return {markup: first, height: 38};
  return {markup: first + label(16, 45, fitText(subtitle, width - 32), {fill: MUTED}), height: 56};
}
