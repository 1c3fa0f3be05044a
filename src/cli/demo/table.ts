import {meanLayers} from '../../tasks/answer.js';
import {type DemoRow, type Pair, type Saved, savedBy} from './examples.js';

const COLUMNS = [8, 14, 7, 22, 20] as const;

function line(...cells: readonly string[]): string {
  return cells
    .map((cell, i) => cell.padEnd(COLUMNS[i] ?? 0))
    .join(' ')
    .trimEnd();
}

export const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
const giga = (macs: number): string => (macs / 1e9).toFixed(2);
/** A saving as a change: −15 %. */
export const signed = (saved: number): string =>
  Math.abs(saved) < 0.005 ? '0 %' : `${saved > 0 ? '−' : '+'}${percent(Math.abs(saved))}`;
const change = (text: string, saved: number): string => `${text} (${signed(saved)})`;

function cells({layers, macs, ms}: Saved): [string, string, string] {
  return [
    signed(layers),
    change(`${giga(macs.full)} → ${giga(macs.early)} G`, macs.saved),
    change(`${ms.full.toFixed(0)} → ${ms.early.toFixed(0)}`, ms.saved),
  ];
}

/** Mean layers of the stacks, such as 4/1/3.6. */
export function layersShort({early}: Pair<DemoRow['caption']['early']>): string {
  return Object.values(early.layers)
    .map((run) => meanLayers(run).toFixed(1).replace(/\.0$/, ''))
    .join('/');
}

export function tableHead(row: DemoRow): string {
  const stacks = Object.keys(row.caption.early.layers).map((stack) =>
    stack.replace(/^encoder\.(.).*/, '$1').replace(/^(.).*/, '$1'),
  );
  const of = Object.values(row.caption.early.layers).map((run) => run.of);
  return [
    line('picture', 'layers run', 'layers', 'MACs', 'milliseconds', 'caption'),
    line(
      '',
      `${stacks.join('/')} of ${of.join('/')}`,
      'saved',
      'full → early exit',
      'full → early exit',
      'full depth; if another, with early exit below',
    ),
  ].join('\n');
}

export function tableRow({file, caption}: DemoRow): string {
  const {full, early} = caption;
  const first = line(file, layersShort(caption), ...cells(savedBy([caption])), full.text);
  return full.text === early.text ? first : `${first}\n${line('', '', '', '', '', early.text)}`;
}

/**
 * Means of all rows, and a reading of them.
 * @param resnet multiply-accumulates of the ResNet
 */
export function tableSummary(rows: readonly DemoRow[], resnet: number): string {
  const captions = rows.map(({caption}) => caption);
  const entailments = rows.map(({entailment}) => entailment);
  const answers = rows.map(({answer}) => answer);
  const right = (side: 'full' | 'early', task: 'entailment' | 'answer'): number =>
    rows.filter((row) => row[task][side].text === (task === 'entailment' ? row.label : row.expected)).length;
  const same = captions.filter(({full, early}) => full.text === early.text).length;
  const n = rows.length;
  const rights = (task: 'entailment' | 'answer'): string =>
    `${right('full', task)} of ${n} right at full depth, ${right('early', task)} with early exit`;
  const share = resnet / savedBy(captions).macs.full;
  return [
    line('means', '', ...cells(savedBy(captions)), `captions: ${same} of ${n} the same words`),
    line('', '', ...cells(savedBy(entailments)), `entailment: ${rights('entailment')}`),
    line(
      '',
      '',
      ...cells(savedBy(answers)),
      answers.some(({full, early}) => full !== early)
        ? `questions: ${rights('answer')}`
        : `questions: ${right('full', 'answer')} of ${n} right; this model has no exit plan for them`,
    ),
    '',
    `Layers are not time: the ResNet is ${giga(resnet)} of the ${giga(savedBy(captions).macs.full)} GMAC of a caption (${percent(share)}) and never exits,`,
    `so exits can save at most ${percent(1 - share)} of the MACs here. Different words also cost differently.`,
  ].join('\n');
}
