import {stackLabel} from '../answer/format.js';
import type {ExplainedLayer, ExplainedPass, Explanation} from './explanation.js';
import {largest} from '../../runtime/extremes.js';

const WIDTH = 13;

/** A table for the terminal: a row a token, a column a layer. @param colour shade cells with escape sequences */
export function explainText(explained: Explanation, {colour}: {readonly colour: boolean}): string {
  const {image, question, answer, encoder, decoder, policy} = explained;
  const depth = largest(decoder.map((pass) => pass.depth));
  const head = Array.from({length: depth}, (_, layer) => `layer ${layer + 1}`.padEnd(WIDTH)).join(' ');
  const label = Math.max(6, largest(decoder.map(({token}) => columns(token ?? ''))));
  const stacks = Math.max(7, largest(encoder.map((pass) => columns(passLabel(pass)) + 1)));
  return [
    `${image}`,
    ...(question === undefined ? [] : [`  ${question}`]),
    `  ${answer === '' ? '(no words)' : answer}`,
    '',
    ...encoder.map((pass) => encoderLine(pass, stacks, colour)),
    '',
    `  ${''.padEnd(label)}  ${head}exit`,
    ...decoder.flatMap((pass) => decoderLines(pass, label, colour)),
    '',
    `Each cell: the likeliest word after that layer and its margin, p₁ − p₂; below, the similarity of the layer's output to its input.`,
    `${colour ? 'The brighter, the larger the margin. ' : ''}▸ is where the plan (${policy}) leaves, = the word of the last layer, × a`,
    `word that the search was not allowed to write. All layers ran here: after an`,
    `earlier exit, the layers and steps that follow would see other states.`,
  ].join('\n');
}

/** Says that the search kept from a layer's likeliest word, and by which rule. */
export function refusal(layer: ExplainedLayer | undefined): string | undefined {
  if (layer?.forbidden === undefined) return undefined;
  const why =
    layer.forbidden === 'min_length'
      ? 'the answer is too short to end (min_length)'
      : 'a group of words would come twice (no_repeat_ngram_size)';
  return `“${(layer.top ?? '').trim() || '␣'}” was forbidden: ${why}`;
}

/** The stack, and where it runs for every token, the one that follows from what it read. */
export function passLabel({stack, token}: ExplainedPass): string {
  return token === undefined ? stackLabel(stack) : `${stackLabel(stack)} → ${token.trim() || '␣'}`;
}

function encoderLine(pass: ExplainedPass, width: number, colour: boolean): string {
  const {layers, exit, depth} = pass;
  const cells = layers.map((layer) => {
    const mark = layer.layer === exit ? '▸' : ' ';
    return shade(
      `${mark}${layer.similarity.toFixed(4)} `,
      angle(layer.similarity),
      exit !== null && layer.layer > exit,
      colour,
    );
  });
  return `  ${pad(passLabel(pass), width)}${cells.join(' ')}  ${exit ?? depth}/${depth}`;
}

function decoderLines({token = '', layers, exit, depth}: ExplainedPass, label: number, colour: boolean): string[] {
  const dim = ({layer}: ExplainedLayer): boolean => exit !== null && layer > exit;
  const words = layers.map((layer) => {
    const mark = layer.layer === exit ? '▸' : layer.forbidden ? '×' : layer.agrees ? '=' : ' ';
    const text = `${mark}${pad(cut((layer.top ?? '').trim() || '␣', WIDTH - 6), WIDTH - 6)} ${(layer.margin ?? 0).toFixed(2)}`;
    return shade(text, layer.margin ?? 0, dim(layer), colour);
  });
  const refused = refusal(layers.at(-1));
  const similarities = layers.map((layer) => faint(` ${layer.similarity.toFixed(4)}`.padEnd(WIDTH), colour));
  return [
    `  ${pad(token.trim() || '␣', label)}  ${words.join(' ')} ${exit ?? depth}/${depth}`,
    `  ${''.padEnd(label)}  ${similarities.join(' ')}`.trimEnd(),
    ...(refused === undefined ? [] : [`  ${''.padEnd(label)}  × ${refused}`]),
  ];
}

/** Similarities crowd near 1: the share of the right angle that is left. */
export function angle(similarity: number): number {
  return 1 - Math.acos(Math.max(0, Math.min(1, similarity))) / (Math.PI / 2);
}

/** Six steps of blue, of the 256 colours; grey where the plan would not have come. */
function shade(text: string, share: number, dim: boolean, colour: boolean): string {
  if (!colour) return text;
  const step = Math.round(Math.max(0, Math.min(1, share)) * 5);
  if (dim) return `\x1b[48;5;${[234, 235, 236, 237, 238, 239][step]};38;5;247m${text}\x1b[0m`;
  const [back, fore] = (
    [
      [17, 253],
      [18, 253],
      [19, 255],
      [25, 255],
      [32, 16],
      [81, 16],
    ] as const
  )[step]!;
  return `\x1b[48;5;${back};38;5;${fore}m${text}\x1b[0m`;
}

function faint(text: string, colour: boolean): string {
  return colour ? `\x1b[2m${text}\x1b[0m` : text;
}

/** Columns of a terminal; wide letters take two. */
function columns(text: string): number {
  let n = 0;
  for (const c of text.trim())
    n +=
      /[\u{1100}-\u{115F}\u{2E80}-\u{A4CF}\u{AC00}-\u{D7A3}\u{F900}-\u{FAFF}\u{FF00}-\u{FF60}\u{1F300}-\u{1FAFF}]/u.test(
        c,
      )
        ? 2
        : 1;
  return n;
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - columns(text)));
}

function cut(text: string, width: number): string {
  if (columns(text) <= width) return text;
  const characters = [...text];
  while (columns(characters.join('')) > width - 1) characters.pop();
  return `${characters.join('')}…`;
}
