import type {Proposal, ProposedMeans} from './caption-proposal.js';
import type {PolicySetting} from './settings/setting.js';
import type {CostName} from './sweep.js';
import {csvLine, csvNumber, frontHeads, percent, settingCells, settingText, thinned} from './sweep-text.js';

// What a replay of captions proposes, for people and as CSV.

/** The front of one cost as a table, thinned to at most `rows` lines. */
export function* proposalText({recording, points, fronts, full}: Proposal, cost: CostName, rows = 16): Generator<string> {
  const all = fronts[cost].map((i) => points[i]!);
  const shown = thinned(all, rows);
  const name = cost === 'macs' ? 'MACs' : 'layers';
  yield `proposed front of ${name} (${shown.length} of ${all.length} points, estimates; full depth agrees with its own captions at ${percent(full.agreement)} of positions)`;
  yield `own word  ${frontHeads(recording)}`;
  for (const point of shown) {
    const {image, text, decoder} = point.layers;
    const depths = [image, text, decoder].map((x) => x.toFixed(2)).join('/');
    const saved = [point.etr, point.macs.saved].map((x) => percent(x).padEnd(8));
    yield [percent(point.agreement).padEnd(8), depths.padEnd(16), ...saved, settingText(point)].join('  ');
  }
}

/** Every point and static point as CSV lines. */
export function* proposalCsv({points, static: statics}: Proposal): Generator<string> {
  yield 'kind,encoder,policy,patience,score,image,text,decoder,agreement,image_layers,text_layers,decoder_layers,etr,macs_run,macs_full,macs_saved,exact\n';
  for (const point of points) yield line('policy', point);
  for (const point of statics) yield line('static', point);
}

function line(kind: string, point: PolicySetting & ProposedMeans): string {
  const {agreement, layers, etr, macs, exact} = point;
  const numbers = [agreement, layers.image, layers.text, layers.decoder, etr, macs.run, macs.full, macs.saved];
  return csvLine(kind, ...settingCells(point), ...numbers.map(csvNumber), String(exact));
}
