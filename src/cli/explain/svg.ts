import {heatMap} from '../../charts/heat-map.js';
import {largest} from '../../runtime/extremes.js';
import type {Explanation} from './explanation.js';
import {refusal} from './text.js';

/** The words × layers of the stack that writes, as an SVG document: a cell a layer, darker for a larger margin. */
export function explainSvg({image, task, question, answer, policy, decoder}: Explanation): string {
  const depth = Math.max(1, largest(decoder.map((pass) => pass.depth)));
  const cells = Array.from({length: depth}, (_, layer) => layer);
  const word = (text: string | undefined): string => (text ?? '').trim() || '␣';
  return heatMap({
    title: answer === '' ? '(no words)' : answer,
    subtitle: [image, ...(question === undefined ? [] : [question]), `framed: where the plan (${policy}) leaves`].join(
      '; ',
    ),
    xLabel: 'layer',
    yLabel: task === 'caption' ? 'words, from the first' : 'answer',
    columns: cells.map((layer) => String(layer + 1)),
    rows: decoder.map(({token}) => word(token)),
    values: decoder.map(({layers}) => cells.map((layer) => layers[layer]?.margin ?? null)),
    texts: decoder.map(({layers}) =>
      cells.map((layer) => `${layers[layer]?.forbidden === undefined ? '' : '× '}${word(layers[layer]?.top)}`),
    ),
    titles: decoder.map(({layers}) =>
      cells.map((layer) =>
        [`margin ${(layers[layer]?.margin ?? 0).toFixed(3)}`, refusal(layers[layer])].filter(Boolean).join('; '),
      ),
    ),
    framed: decoder.flatMap(({exit}, row) => (exit === null ? [] : [{row, column: exit - 1}])),
    scale: {label: 'margin p₁ − p₂', min: 0, max: 1},
    cellWidth: 84,
  });
}
