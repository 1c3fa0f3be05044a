import fc from 'fast-check';
import {barChart} from '../../src/charts/bar.js';
import {linearScale, spread, tickText} from '../../src/charts/axes.js';
import {heatMap} from '../../src/charts/heat-map.js';
import {lineChart} from '../../src/charts/line.js';
import {escapeXml, fitText, textWidth} from '../../src/charts/svg.js';

/**
 * Fails unless the document is well-formed XML of the few kinds of markup that the charts use.
 * @returns its element names
 */
function elements(document: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  let at = 0;
  const token = /<(\/?)([a-z]+)((?: [a-zA-Z0-9-]+="[^"<&]*(?:&#\d+;[^"<&]*)*")*)(\/?)>|[^<&]+|&#\d+;/gy;
  while (at < document.length) {
    token.lastIndex = at;
    const match = token.exec(document);
    if (match === null) throw new Error(`not well-formed at ${at}: ${document.slice(at, at + 60)}`);
    at = token.lastIndex;
    const [, closing, name, , empty] = match;
    if (name === undefined) continue;
    if (closing === '/') expect(open.pop()).toBe(name);
    else {
      names.push(name);
      if (empty !== '/') open.push(name);
    }
  }
  expect(open).toEqual([]);
  expect(names.filter((name) => name === 'svg')).toEqual(['svg']);
  return names;
}

const text = fc.string({unit: 'binary', maxLength: 25});
const number = fc.oneof(fc.double({min: -1e4, max: 1e4}), fc.constantFrom(Number.NaN, Infinity, 0, 1));

test('lineChart: well-formed for any texts and numbers', () => {
  const point = fc.record({x: number, y: number, title: text});
  const series = fc.record({
    name: text,
    points: fc.array(point, {maxLength: 4}),
    mark: fc.constantFrom('points', 'line', 'line and points'),
    dashed: fc.boolean(),
  });
  const reference = fc.record({axis: fc.constantFrom('x', 'y'), at: number, name: text});
  fc.assert(
    fc.property(
      text,
      fc.array(series, {maxLength: 10}),
      fc.array(reference, {maxLength: 4}),
      (title, list, references) => {
        const document = lineChart({
          title,
          subtitle: title,
          x: {label: title},
          y: {label: title, format: 'percent'},
          series: list,
          references,
        });
        elements(document);
        expect(document).not.toMatch(/NaN|Infinity|undefined/);
      },
    ),
  );
});

test('barChart and heatMap: well-formed for any texts and numbers', () => {
  fc.assert(
    fc.property(
      fc.array(text, {maxLength: 8}),
      text,
      fc.array(fc.array(number, {maxLength: 9}), {maxLength: 4}),
      (names, title, values) => {
        const groups = values.map((list) => ({name: title, values: list}));
        const bars = barChart({title, x: {label: title}, y: {label: title}, categories: names, groups});
        const cells = values.map((list) => list.map((value) => (value === 0 ? null : value)));
        const map = heatMap({
          title,
          xLabel: title,
          yLabel: title,
          columns: names,
          rows: values.map(() => title),
          values: cells,
          titles: [names],
          scale: {label: title},
        });
        for (const document of [bars, map]) {
          elements(document);
          expect(document).not.toMatch(/[" ](NaN|-?Infinity|undefined)/);
        }
      },
    ),
  );
});

test('lineChart: every finite point has its thresholds on hover; the others are left out', () => {
  const points = [
    {x: 0.1, y: 0.97, title: 'θ .61 / .54 / .88'},
    {x: Number.NaN, y: 0.9, title: 'no cost'},
    {x: 0.5, y: 0.96, title: 'θ <.5> & "more"'},
  ];
  const document = lineChart({
    title: 't',
    x: {label: 'saved'},
    y: {label: 'accuracy'},
    series: [{name: 'cos', points, mark: 'line and points'}],
  });
  expect(document).toContain('<title>cos: θ .61 / .54 / .88</title>');
  expect(document).toContain('<title>cos: θ &#60;.5&#62; &#38; &#34;more&#34;</title>');
  expect(document).not.toContain('no cost');
  // A circle in the legend, two in the plot.
  expect(elements(document).filter((name) => name === 'circle')).toHaveLength(3);
});

test('lineChart and barChart: a chart of nothing says so', () => {
  expect(lineChart({title: 't', x: {label: 'x'}, y: {label: 'y'}, series: []})).toContain('no data');
  expect(barChart({title: 't', x: {label: 'x'}, y: {label: 'y'}, categories: ['a'], groups: []})).toContain('no data');
});

test('barChart: bars stand on zero, as tall as their values', () => {
  const groups = [{name: 'g', values: [10, 20, 40]}];
  const document = barChart({
    title: 't',
    x: {label: 'layer'},
    y: {label: 'items'},
    categories: ['1', '2', '3'],
    groups,
  });
  const heights = [...document.matchAll(/height="([\d.]+)"[^>]*><title>g, /g)].map((match) => Number(match[1]));
  expect(heights).toHaveLength(3);
  expect(heights[1]! / heights[0]!).toBeCloseTo(2, 2);
  expect(heights[2]! / heights[0]!).toBeCloseTo(4, 2);
});

test('heatMap: dark cells have white text, cells without a value have none', () => {
  const document = heatMap({
    title: 't',
    xLabel: 'layer',
    yLabel: 'token',
    columns: ['1', '2', '3'],
    rows: ['a'],
    values: [[0, 1, null]],
    titles: [['', 'top word: dog', '']],
    framed: [{row: 0, column: 1}],
    scale: {label: 'similarity', min: 0, max: 1},
  });
  expect(document).toContain('<title>a, 2: 1.00\ntop word: dog</title>');
  expect(document).toContain('<title>a, 3: none</title>');
  expect(document).toMatch(/fill="#ffffff"[^>]*pointer-events="none"[^>]*>1\.00</);
  expect(document).toMatch(/fill="#222222"[^>]*pointer-events="none"[^>]*>0\.00</);
});

test('linearScale: covers all values with a few round ticks in order', () => {
  fc.assert(
    fc.property(fc.array(fc.double({min: -1e5, max: 1e5, noNaN: true}), {minLength: 1, maxLength: 6}), (values) => {
      const scale = linearScale(values, {label: ''}, 100, 500, 6);
      for (const value of values) expect(scale.at(value) >= 100 - 1e-6 && scale.at(value) <= 500 + 1e-6).toBe(true);
      expect(scale.ticks.length).toBeLessThanOrEqual(9);
      for (let i = 1; i < scale.ticks.length; i++)
        expect(scale.at(scale.ticks[i]!.value)).toBeGreaterThan(scale.at(scale.ticks[i - 1]!.value));
    }),
  );
  expect(linearScale([0.9625, 0.975], {label: '', format: 'percent'}, 0, 1, 6).ticks.map(({text: t}) => t)).toContain(
    '97.00 %',
  );
  expect(tickText(0.5, 0.1, 'percent')).toBe('50 %');
  expect(tickText(-2.5, 0.5, undefined)).toBe('−2.5');
});

test('spread: in order, at least a gap apart, within the bounds', () => {
  fc.assert(
    fc.property(fc.array(fc.double({min: 0, max: 300, noNaN: true}), {maxLength: 12}), (wanted) => {
      const placed = spread(wanted, 14, 0, 300);
      const sorted = [...placed].sort((a, b) => a - b);
      for (let i = 1; i < sorted.length; i++) expect(sorted[i]! - sorted[i - 1]!).toBeGreaterThanOrEqual(14 - 1e-9);
      for (const place of placed) expect(place >= -1e-9 && place <= 300 + 1e-9).toBe(true);
    }),
  );
});

test('escapeXml and fitText: texts are escaped, and cut to the width there is', () => {
  expect(escapeXml('<a href="x">&\u0000\uD800')).toBe('&#60;a href=&#34;x&#34;&#62;&#38;\uFFFD\uFFFD');
  fc.assert(
    fc.property(text, fc.integer({min: 30, max: 200}), (long, width) => {
      expect(textWidth(fitText(long, width))).toBeLessThanOrEqual(Math.max(width, 30));
    }),
  );
});

test('fitText: keeps as many characters as have room beside the ellipsis', () => {
  const longestFit = (long: string, width: number, size: number): string => {
    if (textWidth(long, size) <= width) return long;
    const characters = [...long];
    while (characters.length > 1 && textWidth(`${characters.join('')}…`, size) > width) characters.pop();
    return `${characters.join('').trimEnd()}…`;
  };
  fc.assert(
    fc.property(
      text,
      fc.double({min: -5, max: 200, noNaN: true}),
      fc.integer({min: 1, max: 20}),
      (long, width, size) => {
        expect(fitText(long, width, size)).toBe(longestFit(long, width, size));
      },
    ),
  );
});
