import {giga, percent} from '../../dist/text/format.js';

// docs/results/README.md, written from the measured figures alone.

const interval = ({estimate, low, high}) => `${percent(estimate)} [${percent(low)}, ${percent(high)}]`;
const bound = ({estimate, lowerBound}) => `${percent(estimate)} (≥ ${percent(lowerBound)})`;
const layers = (of) =>
  Object.values(of)
    .map((x) => x.toFixed(2))
    .join(' / ');

export function resultsPage({runs, comparisons, timings, verdicts, captionText, promise, deviations, machines}) {
  return `${[
    '# Results',
    '',
    'Written by `npm run results` (see [how](#how-these-were-made)); the charts are in [index.html](index.html). Model: `scenes-mue`, data: `data/scenes`',
    '(thresholds chosen on val and calibration, figures of the test sets). 95 % intervals by paired bootstrap over pictures, 10,000 resamples; "≥" is the',
    'one-sided bound. Layers saved count as MuE counts them: image and text as their mean, plus the decoder.',
    '',
    '## The published claim, here',
    '',
    'MuE claims 99 % of the accuracy at half the cost (entailment) and 96 % of the caption metrics at 40 % less. "Cost" there is layers. Here:',
    '',
    '| run | against | quality | kept | layers saved | MACs saved | verdict |',
    '|---|---|---|---|---|---|---|',
    ...Object.entries(comparisons).map(([name, c]) => claimRow(name, c)),
    '',
    ...runTable(runs),
    '',
    '## Wall-clock',
    '',
    'Full depth and the recommended plan on the same rows of the test sets, in turns on the CPU and one after the other on the GPU; milliseconds a row',
    '(of a batch: an equal share).',
    '',
    '| device and task | machine | rows | layers saved | MACs saved | milliseconds saved | full, p50 | exits, p50 |',
    '|---|---|---|---|---|---|---|---|',
    ...Object.entries(timings).map(
      ([name, {machine, n, full, early, saving}]) =>
        `| ${name} | ${machine} | ${n} | ${percent(saving.layers.estimate)} | ${percent(saving.macs.estimate)} | ${interval(saving.ms)} | ${full.toFixed(0)} | ${early.toFixed(0)} |`,
    ),
    '',
    'The milliseconds on the page of charts are those of the whole test sets, answered in batches of 16 by several processes at once on one GPU: good for',
    'comparing nothing but throughput.',
    '',
    'The ResNet is about half of the MACs of this model and never exits: no exit can save more than the other half.',
    '',
    '## Policies, chosen on calibration, judged on test',
    '',
    ...['layers', 'macs'].flatMap((cost) => [
      `Cheapest in ${cost === 'macs' ? 'MACs' : 'layers'} that kept 99 % of the accuracy on the calibration set:`,
      '',
      ...verdicts[cost].map((line) => `- ${line}`),
      '',
    ]),
    '## Captions: settings proposed and chosen on val, run on test',
    '',
    '`mue record` and `mue sweep` proposed settings from one recording of the val captions; their fronts were run for real on val, and the fronts of',
    'that on test (all settings: `data/captions.csv`).',
    '',
    '```',
    captionText.trim(),
    '```',
    '',
    '## A certified plan',
    '',
    '`mue calibrate --max-drop 1%` wrote [plan-snli-ve.json](plan-snli-ve.json). What it said, and whether such plans keep their promise:',
    '',
    '```',
    promise.trim(),
    '```',
    '',
    '## Against the PyTorch model',
    '',
    'The same checkpoint in PyTorch ([data/scenes/reference.json](../../data/scenes/reference.json)), point by point in [reference.csv](data/reference.csv):',
    '',
    '| figures | points | largest difference | of layers | within tolerance |',
    '|---|---|---|---|---|',
    ...deviations.map(
      ({name, points, metric, quality, layers: off, within}) =>
        `| ${name} | ${points} | ${metric} ${quality.toFixed(4)} | ${off.toFixed(3)} | ${within ? 'yes' : '**no**'} |`,
    ),
    '',
    '## How these were made',
    '',
    'One command: `npm run results -- --device native --baseline <scenes_ofa, converted>`. The recordings of entailment were made on the native CPU',
    `device (${machines.native ?? 'this machine'}), captions and whole evaluations on ${machines.cuda ?? 'the device above'}; answers and exits are the same on all.`,
    'Files: `data/entailment.csv` (settings of all policies and all static depths on test), `data/captions*.csv` (run for real), `data/reference.csv`,',
    '`data/results.json` (every number of this page).',
  ].join('\n')}\n`;
}

function claimRow(name, {metrics, meanRetention, saving, verdicts}) {
  const main = metrics['CIDEr-D'] ? 'CIDEr-D' : 'accuracy';
  const {early, full, retention} = metrics[main];
  const against = name.endsWith('-baseline') ? 'scenes_ofa' : 'full depth';
  const kept = `${main} ${bound(retention)}${meanRetention ? `; mean of the metrics ${bound(meanRetention)}` : ''}`;
  const judged = verdicts
    .filter(({what, holds}) => holds !== undefined && !/wall-clock|BLEU|ROUGE/.test(what))
    .map(
      ({what, holds}) =>
        `${what.replace('retention of ', '').replace('saving in ', '')} ${holds ? 'holds' : '**fails**'}`,
    );
  return `| ${name.replace('-baseline', '')} | ${against} | ${early.toFixed(4)} of ${full.toFixed(4)} | ${kept} | ${percent(saving.layers.estimate)} | ${percent(saving.macs.estimate)} | ${judged.join(', ')} |`;
}

function runTable(runs) {
  return [
    '| run on the whole test set | quality | layers image / text / decoder | layers saved | GMACs a row |',
    '|---|---|---|---|---|',
    ...Object.entries(runs)
      .filter(([name]) => !name.startsWith('timed-'))
      .map(([name, {metrics, layers: run, etr, macs}]) => {
        const quality = Object.entries(metrics).map(([metric, value]) => `${metric} ${value.toFixed(4)}`);
        return `| ${name} | ${quality.join(', ')} | ${layers(run)} | ${etr === null ? '' : percent(etr)} | ${giga(macs.run, 3)} |`;
      }),
  ];
}
