import {COLOURS, element, GRID, INK, label, MUTED, round, textWidth} from './svg.js';

/** An axis of a chart. */
export interface Axis {
  /** With its unit: "multiply-accumulates (G)". */
  readonly label: string;
  /** Values that must be on the axis, such as 0. */
  readonly include?: readonly number[];
  /** Shares are written in percent. */
  readonly format?: 'number' | 'percent';
}

/** Values to pixels, and where the ticks are. */
export interface Scale {
  readonly ticks: readonly {readonly value: number; readonly text: string}[];
  at(value: number): number;
}

/** The rectangle in which points are drawn. */
export interface Plot {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/**
 * A linear scale over the finite values, a little beyond them.
 * @param from, to ends of the scale in pixels
 * @param count    about how many round ticks
 * @param tight    no room below the smallest: for bars, which stand on zero
 */
export function linearScale(
  values: readonly number[],
  {include = [], format}: Axis,
  from: number,
  to: number,
  count: number,
  tight = false,
): Scale {
  const finite = [...values, ...include].filter(Number.isFinite);
  let low = finite.reduce((a, b) => Math.min(a, b), finite[0] ?? 0);
  let high = finite.reduce((a, b) => Math.max(a, b), finite[0] ?? 1);
  if (low === high) {
    const room = Math.abs(low) * 0.05 || 0.5;
    if (!tight) low -= room;
    high += room;
  }
  const step = roundStep((high - low) / count);
  const room = 0.04 * (high - low);
  if (!tight && !include.includes(low)) low -= room;
  if (!include.includes(high)) high += room;
  const ticks: {value: number; text: string}[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++)
    ticks.push({value: k * step, text: tickText(k * step, step, format)});
  return {ticks, at: (value) => from + ((value - low) / (high - low)) * (to - from)};
}

function roundStep(about: number): number {
  const power = 10 ** Math.floor(Math.log10(about));
  return power * ([1, 2, 2.5, 5].find((factor) => factor * power >= about * (1 - 1e-9)) ?? 10);
}

/** A value as an axis writes it; `step` says how many digits are worth writing. */
export function tickText(value: number, step: number, format: Axis['format']): string {
  const unit = format === 'percent' ? 100 : 1;
  const shown = step * unit;
  const digits = Math.max(
    0,
    Math.min(
      8,
      -Math.floor(Math.log10(shown) + 1e-9) +
        (/^25/.test((shown / 10 ** Math.floor(Math.log10(shown))).toFixed(2).replace('.', '')) ? 1 : 0),
    ),
  );
  const text = Math.abs(value * unit) >= 1e6 ? (value * unit).toExponential(1) : (value * unit || 0).toFixed(digits);
  return `${text.replace('-', '−')}${format === 'percent' ? ' %' : ''}`;
}

/** Grid lines, tick texts and axis labels. `x` may be left out where something else labels that side. */
export function axes(plot: Plot, y: Scale, yAxis: Axis, x: Scale | undefined, xAxis: Pick<Axis, 'label'>): string {
  const parts: string[] = [];
  for (const {value, text} of y.ticks) {
    const at = y.at(value);
    parts.push(element('line', {x1: plot.left, x2: plot.right, y1: at, y2: at, stroke: GRID}));
    parts.push(label(plot.left - 8, at + 4, text, {'text-anchor': 'end', fill: MUTED}));
  }
  for (const {value, text} of x?.ticks ?? []) {
    const at = x!.at(value);
    parts.push(element('line', {x1: at, x2: at, y1: plot.top, y2: plot.bottom, stroke: GRID}));
    parts.push(label(at, plot.bottom + 18, text, {'text-anchor': 'middle', fill: MUTED}));
  }
  parts.push(
    element('path', {
      d: `M${round(plot.left)} ${round(plot.top)}V${round(plot.bottom)}H${round(plot.right)}`,
      fill: 'none',
      stroke: MUTED,
    }),
  );
  parts.push(label((plot.left + plot.right) / 2, plot.bottom + 38, xAxis.label, {'text-anchor': 'middle'}));
  const middle = (plot.top + plot.bottom) / 2;
  parts.push(
    label(0, 0, yAxis.label, {'text-anchor': 'middle', transform: `translate(18 ${round(middle)}) rotate(-90)`}),
  );
  return parts.join('');
}

/** Room that tick texts and the label take to the left of the plot. */
export function leftMargin(scale: Scale): number {
  return 36 + scale.ticks.reduce((most, {text}) => Math.max(most, textWidth(text)), 0);
}

/** An entry of a legend: its mark is drawn at the given middle. */
export interface LegendEntry {
  readonly name: string;
  readonly mark: (x: number, y: number) => string;
}

/** Entries in rows, wrapped, within pixels `left` to `right`. @returns markup, and the height taken in pixels */
export function legend(
  entries: readonly LegendEntry[],
  left: number,
  top: number,
  right: number,
): {readonly markup: string; readonly height: number} {
  let x = left;
  let y = top + 10;
  const parts: string[] = [];
  for (const {name, mark} of entries) {
    const width = 30 + textWidth(name) + 16;
    if (x > left && x + width > right) {
      x = left;
      y += 20;
    }
    parts.push(mark(x + 11, y), label(x + 28, y + 4, name));
    x += width;
  }
  return {markup: parts.join(''), height: entries.length === 0 ? 0 : y - top + 14};
}

/** A point's symbol: shape and colour both tell the series apart. */
export function symbol(series: number, x: number, y: number, children = ''): string {
  const fill = COLOURS[series % COLOURS.length]!;
  const attributes = {fill, 'fill-opacity': 0.85, stroke: '#ffffff', 'stroke-width': 0.8};
  const at = (dx: number, dy: number): string => `${round(x + dx)} ${round(y + dy)}`;
  switch (series % 4) {
    case 0:
      return element('circle', {cx: x, cy: y, r: 4.2, ...attributes}, children);
    case 1:
      return element('rect', {x: x - 4, y: y - 4, width: 8, height: 8, ...attributes}, children);
    case 2:
      return element('path', {d: `M${at(0, -5.5)}L${at(5, 4)}L${at(-5, 4)}Z`, ...attributes}, children);
    default:
      return element(
        'path',
        {d: `M${at(0, -5.5)}L${at(5.5, 0)}L${at(0, 5.5)}L${at(-5.5, 0)}Z`, ...attributes},
        children,
      );
  }
}

/** Positions close to those wanted, in their order, at least `gap` apart, within [low, high] where there is room. */
export function spread(wanted: readonly number[], gap: number, low: number, high: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]! || a - b);
  const placed = [...wanted];
  let floor = low;
  for (const i of order) {
    placed[i] = Math.max(placed[i]!, floor);
    floor = placed[i]! + gap;
  }
  let ceiling = high;
  for (const i of order.reverse()) {
    placed[i] = Math.min(placed[i]!, ceiling);
    ceiling = placed[i]! - gap;
  }
  return placed;
}

/** A message in the middle of a plot without data. */
export function noData(plot: Plot): string {
  return label((plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2, 'no data', {
    'text-anchor': 'middle',
    fill: INK,
    'font-style': 'italic',
  });
}
