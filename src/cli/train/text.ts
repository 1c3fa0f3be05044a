import {orDash, tableLine} from '../../text/format.js';
import type {Measures} from '../../training/fit-adapter.js';
import type {AdapterReport} from '../../training/train-exit-adapters.js';

const WIDTHS = [6, 22, 22, 18];

const share = (value: number | undefined): string => orDash(value, (known) => (100 * known).toFixed(1));

function cells(before: Measures, after: Measures): string[] {
  return [
    `${share(before.agreement)} → ${share(after.agreement)} %`,
    `${share(before.accuracy)} → ${share(after.accuracy)} %`,
    `${before.divergence.toFixed(3)} → ${after.divergence.toFixed(3)}`,
  ];
}

function head(task: string): string[] {
  return ['depth', 'as the last layer', task === 'caption' ? 'right next token' : 'right answer', 'nats from the last'];
}

/** Every layer on held-out rows, without and with its adapter. */
export function reportText({task, layers, full, heldOut, positions}: AdapterReport): string {
  const lines = layers.map(({layer, before, after, kept, pValue}) =>
    tableLine(
      [String(layer), ...cells(before, after), kept ? 'kept' : `not kept (p ${pValue.toPrecision(2)})`],
      WIDTHS,
    ),
  );
  const last = tableLine([String(layers.length + 1), '100.0 %', `${share(full.accuracy)} %`], WIDTHS).trimEnd();
  return [`held-out positions: ${heldOut} of ${positions}`, tableLine(head(task), WIDTHS), ...lines, last].join('\n');
}

/** Every layer on the rows of --test. */
export function depthsText(
  depths: readonly {readonly layer: number; readonly before: Measures; readonly after: Measures}[],
): string {
  const lines = depths.map(({layer, before, after}) => tableLine([String(layer), ...cells(before, after)], WIDTHS));
  return ['test rows', tableLine(head(''), WIDTHS), ...lines].join('\n');
}

/** What came of it, and what to do next. @param file that was written, if any */
export function verdict({layers, task}: AdapterReport, file: string | undefined, standard: string): string {
  if (file === undefined)
    return 'adapters help at no depth: this model was trained to exit, or there are too few rows; nothing is written';
  const kept = layers.filter((layer) => layer.kept).map(({layer}) => layer);
  const use = file.endsWith(standard) ? 'used from now on' : `use them with --adapters ${file}`;
  return `${file}: ${task}, depths ${kept.join(', ')}; ${use}. Plans that were calibrated without them are refused: calibrate again`;
}
