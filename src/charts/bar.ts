import {type Axis, axes, leftMargin, legend, linearScale, noData, type Plot, tickText} from './axes.js';
import {COLOURS, element, fitText, heading, label, MUTED, svg, textWidth, tooltip} from './svg.js';

/** Bars by category, side by side for each group: histograms of exit layers, accuracy by difficulty. */
export interface BarChart {
  readonly title: string;
  readonly subtitle?: string;
  readonly x: Pick<Axis, 'label'>;
  readonly y: Axis;
  readonly categories: readonly string[];
  /** Values by category; one that is not finite leaves a gap. */
  readonly groups: readonly {readonly name: string; readonly values: readonly number[]}[];
  /** Pixels; default 760 × 400. */
  readonly width?: number;
  readonly height?: number;
}

/** Bars on a zero line, with their values above them where there is room, as an SVG document. */
export function barChart(chart: BarChart): string {
  const {width = 760, height = 400, categories, groups} = chart;
  const head = heading(chart.title, chart.subtitle, width);
  const swatch = (i: number) => (x: number, y: number) =>
    element('rect', {x: x - 8, y: y - 6, width: 16, height: 12, fill: COLOURS[i % COLOURS.length]!});
  const named = groups.length < 2 ? [] : groups.map(({name}, i) => ({name: fitText(name, width / 2), mark: swatch(i)}));
  const key = legend(named, 16, head.height, width - 16);
  const flat: Plot = {left: 0, right: width - 20, top: head.height + key.height + 16, bottom: height - 54};
  const values = groups.flatMap((group) => group.values.slice(0, categories.length)).filter(Number.isFinite);
  const y = linearScale(values, {...chart.y, include: [...(chart.y.include ?? []), 0]}, flat.bottom, flat.top, 5, true);
  const plot = {...flat, left: leftMargin(y)};
  const slot = (plot.right - plot.left) / Math.max(1, categories.length);
  const bar = Math.min(48, (slot * 0.78) / Math.max(1, groups.length));
  const zero = y.at(0);
  const body: string[] = [head.markup, key.markup, axes(plot, y, chart.y, undefined, chart.x)];
  const texts = groups.map((group) => group.values.map((value) => valueText(value, chart.y)));
  // All values are written, or none: some would read as "the others are zero".
  const roomy = texts.flat().every((text) => textWidth(text.replace(' %', ''), 10) <= bar + 1);
  // Every k-th category is named if there is no room for all.
  const widest = categories.reduce((most, name) => Math.max(most, textWidth(name)), 0);
  const every = Math.max(1, Math.ceil(Math.min(widest + 8, 90) / slot));
  categories.forEach((category, c) => {
    const middle = plot.left + (c + 0.5) * slot;
    if (c % every === 0) {
      const text = fitText(category, slot * every - 4);
      body.push(label(middle, plot.bottom + 18, text, {'text-anchor': 'middle', fill: MUTED}));
    }
    groups.forEach((group, g) => {
      const value = group.values[c];
      if (value === undefined || !Number.isFinite(value)) return;
      const x = middle + (g - groups.length / 2) * bar;
      const top = Math.min(zero, y.at(value));
      const shape = {
        x: x + 1,
        y: top,
        width: Math.max(1, bar - 2),
        height: Math.abs(zero - y.at(value)),
        fill: COLOURS[g % COLOURS.length]!,
      };
      body.push(element('rect', shape, tooltip(`${group.name}, ${category}: ${texts[g]![c]}`)));
      if (roomy)
        body.push(
          label(x + bar / 2, top - 4, texts[g]![c]!.replace(' %', ''), {'text-anchor': 'middle', 'font-size': 10}),
        );
    });
  });
  body.push(element('line', {x1: plot.left, x2: plot.right, y1: zero, y2: zero, stroke: MUTED}));
  if (values.length === 0) body.push(noData(plot));
  const summary = `${chart.y.label} by ${chart.x.label}. ${groups.map(({name}) => name).join('; ')}.`;
  return svg(width, height, chart.title, summary, body.join(''));
}

function valueText(value: number, {format}: Axis): string {
  if (format === 'percent') return tickText(value, Math.abs(value) >= 0.1 ? 0.01 : 0.001, format);
  return tickText(value, Number.isInteger(value) ? 1 : Math.abs(value) >= 100 ? 1 : 0.01, format);
}
