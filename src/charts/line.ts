import {
  type Axis,
  axes,
  leftMargin,
  legend,
  linearScale,
  noData,
  type Plot,
  type Scale,
  spread,
  symbol,
} from './axes.js';
import {COLOURS, element, fitText, heading, label, MUTED, round, svg, textWidth, tooltip} from './svg.js';

/** A named set of points. */
export interface Series {
  readonly name: string;
  /** `title` is shown on hover: the thresholds behind the point. */
  readonly points: readonly {readonly x: number; readonly y: number; readonly title?: string}[];
  readonly mark: 'points' | 'line' | 'line and points';
  readonly dashed?: boolean;
}

/** A value to compare with: the full model, a target, an oracle. */
export interface ReferenceLine {
  /** The axis that the value is on: a 'y' line is horizontal. */
  readonly axis: 'x' | 'y';
  readonly at: number;
  readonly name: string;
}

/** Quality against cost, and the like. */
export interface LineChart {
  readonly title: string;
  readonly subtitle?: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  readonly references?: readonly ReferenceLine[];
  /** Pixels; default 760 × 460. */
  readonly width?: number;
  readonly height?: number;
}

/**
 * Lines and points with axes, legend, reference lines and tooltips, as an SVG document. Points that are not finite are
 * left out.
 */
export function lineChart(chart: LineChart): string {
  const {width = 760, height = 460, references = []} = chart;
  const series = chart.series.map((s) => ({
    ...s,
    points: s.points.filter(({x, y}) => Number.isFinite(x) && Number.isFinite(y)),
  }));
  const points = series.flatMap((s) => s.points);
  const lines = references.filter(({at}) => Number.isFinite(at));
  const horizontal = lines.filter(({axis}) => axis === 'y');
  const vertical = lines.filter(({axis}) => axis === 'x');
  const values = (axis: 'x' | 'y'): number[] => [
    ...points.map((p) => p[axis]),
    ...lines.filter((l) => l.axis === axis).map(({at}) => at),
  ];

  const head = heading(chart.title, chart.subtitle, width);
  const named = series.map(({name, mark, dashed}, i) => ({
    name: fitText(name, width / 2),
    mark: (x: number, y: number) =>
      (mark === 'points' ? '' : path(`M${round(x - 11)} ${round(y)}h22`, i, dashed)) +
      (mark === 'line' ? '' : symbol(i, x, y)),
  }));
  const key = legend(named, 16, head.height, width - 16);
  const names = horizontal.map(({name}) => fitText(name, width / 4, 11));
  const right = names.reduce((most, name) => Math.max(most, textWidth(name, 11) + 20), 20);

  const plot: Plot = {
    left: 0,
    right: width - right,
    top: head.height + key.height + 14 + 15 * vertical.length,
    bottom: height - 54,
  };
  const y = linearScale(values('y'), chart.y, plot.bottom, plot.top, 6);
  const framed = {...plot, left: leftMargin(y)};
  const x = linearScale(
    values('x'),
    chart.x,
    framed.left,
    framed.right,
    Math.max(3, Math.floor((framed.right - framed.left) / 90)),
  );

  const body = [
    head.markup,
    key.markup,
    axes(framed, y, chart.y, x, chart.x),
    horizontalLines(horizontal, names, framed, y),
    verticalLines(vertical, framed, x),
    ...series.map((s, i) => {
      const d = s.points.map((p, k) => `${k === 0 ? 'M' : 'L'}${round(x.at(p.x))} ${round(y.at(p.y))}`).join('');
      return s.mark === 'points' || s.points.length < 2 ? '' : path(d, i, s.dashed);
    }),
    // Symbols last, so that no line hides a tooltip.
    ...series.flatMap((s, i) => s.points.map((p) => point(s, i, x.at(p.x), y.at(p.y), p.title))),
    points.length === 0 ? noData(framed) : '',
  ];
  const summary = `${chart.y.label} against ${chart.x.label}. ${[...chart.series, ...references].map(({name}) => name).join('; ')}.`;
  return svg(width, height, chart.title, summary, body.join(''));
}

function point({name, mark}: Series, series: number, x: number, y: number, title: string | undefined): string {
  const hover = tooltip(title === undefined ? undefined : `${name}: ${title}`);
  if (mark !== 'line') return symbol(series, x, y, hover);
  return title === undefined ? '' : element('circle', {cx: x, cy: y, r: 6, fill: '#ffffff', 'fill-opacity': 0}, hover);
}

function path(d: string, series: number, dashed: boolean | undefined): string {
  const stroke = COLOURS[series % COLOURS.length]!;
  return element('path', {
    d,
    fill: 'none',
    stroke,
    'stroke-width': 2,
    'stroke-linejoin': 'round',
    'stroke-dasharray': dashed === true ? '6 4' : undefined,
  });
}

/** Named in the right margin, names pushed apart, with a thin line from name to value. */
function horizontalLines(lines: readonly ReferenceLine[], names: readonly string[], plot: Plot, y: Scale): string {
  const places = spread(
    lines.map(({at}) => y.at(at)),
    14,
    plot.top + 4,
    plot.bottom - 4,
  );
  return lines
    .map(({at, name}, i) => {
      const [value, place] = [y.at(at), places[i]!];
      const d = `M${round(plot.left)} ${round(value)}H${round(plot.right)}L${round(plot.right + 7)} ${round(place)}`;
      const line = element(
        'path',
        {d, fill: 'none', stroke: MUTED, 'stroke-dasharray': '2 3'},
        tooltip(`${name}: ${at}`),
      );
      return line + label(plot.right + 10, place + 4, names[i]!, {'font-size': 11, fill: MUTED});
    })
    .join('');
}

/** Named above the plot, to the right of the line; the rightmost lowest, so that no line crosses a name. */
function verticalLines(lines: readonly ReferenceLine[], plot: Plot, x: Scale): string {
  return [...lines]
    .sort((a, b) => b.at - a.at)
    .map(({at, name}, row) => {
      const value = x.at(at);
      const top = plot.top - 6 - 15 * row;
      const text = fitText(name, (plot.right - plot.left) / 2, 11);
      const place = Math.min(plot.right + 16 - textWidth(text, 11), value + 4);
      const ends = {x1: value, x2: value, y1: top - 8, y2: plot.bottom};
      const line = element('line', {...ends, stroke: MUTED, 'stroke-dasharray': '2 3'}, tooltip(`${name}: ${at}`));
      return line + label(place, top, text, {'font-size': 11, fill: MUTED});
    })
    .join('');
}
