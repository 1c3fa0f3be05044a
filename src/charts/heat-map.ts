import {tickText} from './axes.js';
import {element, fitText, GRID, heading, INK, label, MUTED, svg, textWidth, tooltip} from './svg.js';
import {largest} from '../runtime/extremes.js';

/** A table as colours: tokens × layers, image depth × text depth, a confusion matrix. */
export interface HeatMap {
  readonly title: string;
  readonly subtitle?: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly columns: readonly string[];
  readonly rows: readonly string[];
  /** [row][column]; null is a cell that never was: a layer that did not run. */
  readonly values: readonly (readonly (number | null)[])[];
  /** Text in each cell; by default its value. */
  readonly texts?: readonly (readonly string[])[];
  /** Shown on hover, beside row, column and value. */
  readonly titles?: readonly (readonly string[])[];
  /** Cells to be framed: where the exit was taken. */
  readonly framed?: readonly {readonly row: number; readonly column: number}[];
  /** Meaning of the colour, and the values at its ends; by default those of the table. */
  readonly scale: {
    readonly label: string;
    readonly min?: number;
    readonly max?: number;
    readonly format?: 'number' | 'percent';
  };
  /** Pixels of one cell; default 64 × 30. */
  readonly cellWidth?: number;
  readonly cellHeight?: number;
}

// Light to dark in one hue, even steps of lightness: readable without colour.
const STOPS: readonly (readonly [number, number, number])[] = [
  [247, 251, 255],
  [198, 219, 239],
  [107, 174, 214],
  [33, 113, 181],
  [8, 48, 107],
];
const ROW_LABEL = 220;

/** Coloured cells with their values, row and column names, and a colour key, as an SVG document. */
export function heatMap(map: HeatMap): string {
  const {columns, rows, scale, cellWidth = 64, cellHeight = 30} = map;
  const finite = map.values.flat().filter((value): value is number => value !== null && Number.isFinite(value));
  const min = scale.min ?? finite.reduce((a, b) => Math.min(a, b), finite[0] ?? 0);
  const max = scale.max ?? finite.reduce((a, b) => Math.max(a, b), finite[0] ?? 1);
  const share = (value: number): number => (max > min ? Math.max(0, Math.min(1, (value - min) / (max - min))) : 0.5);
  const step = max > min ? (max - min) / 20 : 0.01;
  const names = rows.map((name) => fitText(name, ROW_LABEL));
  const left = 44 + names.reduce((most, name) => Math.max(most, textWidth(name)), 0);
  const slanted = columns.some((name) => textWidth(name) > cellWidth - 6);
  const heads = columns.map((name) => fitText(name, slanted ? 110 : cellWidth - 4));
  const headHeight = slanted ? 20 + 0.75 * heads.reduce((most, name) => Math.max(most, textWidth(name)), 0) : 24;
  // A slanted name may lean out beyond the last column.
  const reach = heads.map((name, c) => (c + 0.5) * cellWidth + 0.77 * textWidth(name));
  const lean = slanted ? Math.max(0, largest(reach.map((x) => x - columns.length * cellWidth))) : 0;
  const needed = Math.max(
    left + columns.length * cellWidth + 24 + lean,
    left + 260,
    textWidth(map.title, 16) + 40,
    textWidth(map.subtitle ?? '') + 40,
  );
  const width = Math.min(needed, Math.max(900, left + columns.length * cellWidth + 24 + lean));
  const head = heading(map.title, map.subtitle, width);
  const top = head.height + 20 + headHeight;
  const bottom = top + rows.length * cellHeight;
  const body: string[] = [
    head.markup,
    label(left + (columns.length * cellWidth) / 2, head.height + 10, map.xLabel, {'text-anchor': 'middle'}),
  ];
  body.push(
    label(0, 0, map.yLabel, {'text-anchor': 'middle', transform: `translate(18 ${(top + bottom) / 2}) rotate(-90)`}),
  );
  heads.forEach((name, c) => {
    const middle = left + (c + 0.5) * cellWidth;
    const place = slanted
      ? {'text-anchor': 'start', transform: `translate(${middle} ${top - 8}) rotate(-40)`}
      : {'text-anchor': 'middle'};
    body.push(label(slanted ? 0 : middle, slanted ? 0 : top - 8, name, {fill: MUTED, ...place}));
  });
  rows.forEach((row, r) => {
    const y = top + r * cellHeight;
    body.push(label(left - 8, y + cellHeight / 2 + 4, names[r]!, {'text-anchor': 'end', fill: MUTED}));
    columns.forEach((column, c) => {
      const value = map.values[r]?.[c] ?? null;
      const x = left + c * cellWidth;
      const known = value !== null && Number.isFinite(value);
      const written = known ? tickText(value, step, scale.format) : 'none';
      const extra = map.titles?.[r]?.[c];
      const hover = tooltip(`${row}, ${column}: ${written}${extra === undefined || extra === '' ? '' : `\n${extra}`}`);
      const fill = known ? colour(share(value)) : '#f2f2f2';
      body.push(element('rect', {x, y, width: cellWidth, height: cellHeight, fill, stroke: '#ffffff'}, hover));
      const text = map.texts?.[r]?.[c] ?? (known ? written : '');
      const ink = known && share(value) > 0.55 ? '#ffffff' : INK;
      // Clicks and hovers go to the cell beneath.
      const style = {'text-anchor': 'middle', 'font-size': 11, fill: ink, 'pointer-events': 'none'};
      if (text !== '')
        body.push(label(x + cellWidth / 2, y + cellHeight / 2 + 4, fitText(text, cellWidth - 6, 11), style));
    });
  });
  for (const {row, column} of map.framed ?? []) {
    const place = {
      x: left + column * cellWidth + 1.5,
      y: top + row * cellHeight + 1.5,
      width: cellWidth - 3,
      height: cellHeight - 3,
    };
    body.push(
      element('rect', {...place, fill: 'none', stroke: '#d55e00', 'stroke-width': 3, 'pointer-events': 'none'}),
    );
  }
  body.push(
    colourKey(left, bottom + 16, scale.label, tickText(min, step, scale.format), tickText(max, step, scale.format)),
  );
  return svg(width, bottom + 62, map.title, `${scale.label} by ${map.yLabel} and ${map.xLabel}.`, body.join(''));
}

function colourKey(x: number, y: number, name: string, min: string, max: string): string {
  const steps = Array.from({length: 50}, (_, i) =>
    element('rect', {x: x + 4 * i, y, width: 4, height: 12, fill: colour(i / 49), 'shape-rendering': 'crispEdges'}),
  );
  const frame = element('rect', {x, y, width: 200, height: 12, fill: 'none', stroke: GRID});
  const ends =
    label(x, y + 28, min, {'font-size': 11, fill: MUTED}) +
    label(x + 200, y + 28, max, {'font-size': 11, fill: MUTED, 'text-anchor': 'end'});
  return steps.join('') + frame + ends + label(x + 212, y + 10, name, {'font-size': 11});
}

function colour(share: number): string {
  const at = share * (STOPS.length - 1);
  const low = STOPS[Math.min(STOPS.length - 2, Math.floor(at))]!;
  const high = STOPS[Math.min(STOPS.length - 1, Math.floor(at) + 1)]!;
  const mix = at - Math.min(STOPS.length - 2, Math.floor(at));
  return `#${low
    .map((from, k) =>
      Math.round(from + mix * (high[k]! - from))
        .toString(16)
        .padStart(2, '0'),
    )
    .join('')}`;
}
