import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {parseArgs} from 'node:util';
import {verdictText} from '../../dist/calibration/sweep/text.js';
import {
  captionDeviations,
  captionSettings,
  deviationsCsv,
  deviationSummary,
  entailmentDeviations,
} from './reference.mjs';
import {mue, readJson as json, root} from './command.mjs';
import {resultsPage} from './page.mjs';

// `npm run results`: every figure in docs/results, from the shipped model and data. Steps go on where they were
// stopped, and what is finished in the work folder is kept: parts may have been made on another machine (shards,
// evaluations), as machines.json there says.

const {values: options} = parseArgs({
  options: {
    /** Where quality is measured; milliseconds are always those of the `--timing` devices. */
    device: {type: 'string', default: 'auto'},
    threads: {type: 'string'},
    /** Recordings and predictions: large, and not part of the repository. */
    work: {type: 'string', default: 'out/results'},
    /** The ordinarily trained model, converted from its checkpoint. */
    baseline: {type: 'string'},
    /** Where to time, as device:batch, separated by commas, and how many rows of each task. */
    timing: {type: 'string', default: 'wasm:1'},
    'timed-rows': {type: 'string', default: '60'},
  },
});
const docs = path.join(root, 'docs/results');
const work = path.resolve(options.work);
const at = (...parts) => path.join(work, ...parts);
const data = (name) => path.join(root, 'data/scenes', name);
const device = ['--device', options.device, ...(options.threads ? ['--threads', options.threads] : [])];
fs.mkdirSync(docs, {recursive: true});
fs.mkdirSync(work, {recursive: true});

const write = (name, text) => fs.writeFileSync(path.join(docs, name), text);
const keep = (from, to) => fs.copyFileSync(from, path.join(docs, to));
fs.mkdirSync(path.join(docs, 'data'), {recursive: true});

// Entailment: one recording a set; thresholds are chosen on calibration, reported on test.
for (const set of ['calibration', 'test'])
  mue([
    'record',
    '--task',
    'snli-ve',
    '--data',
    data(`snli-ve-${set}.jsonl`),
    '--out',
    at(`snli-ve-${set}.jsonl`),
    ...device,
  ]);
const [calibration, test] = [at('snli-ve-calibration.jsonl'), at('snli-ve-test.jsonl')];
mue(['sweep', calibration, '--out', at('sweep-calibration')]);
mue([
  'sweep',
  test,
  '--thresholds',
  at('sweep-calibration', 'front.json'),
  '--train',
  calibration,
  '--out',
  at('sweep-test'),
]);
mue([
  'sweep',
  test,
  '--thresholds',
  at('sweep-calibration', 'chosen.json'),
  '--train',
  calibration,
  '--out',
  at('sweep-chosen'),
]);
const chosen = json(at('sweep-chosen', 'sweep.json'));
const verdicts = Object.fromEntries(
  ['layers', 'macs'].map((cost) => [
    cost,
    chosen.verdicts
      .filter((verdict) => verdict.cost === cost)
      .map((verdict) => verdictText(verdict, chosen, chosen.level)),
  ]),
);
keep(at('sweep-test', 'sweep.csv'), 'data/entailment.csv');
keep(at('sweep-chosen', 'sweep.json'), 'data/entailment-chosen.json');
const promise = mue([
  'calibrate',
  calibration,
  '--policy',
  'softmax-margin,similarity,entropy,patience-confidence',
  ...[
    '--max-drop',
    '1%',
    '--out',
    path.join(docs, 'plan-snli-ve.json'),
    '--check-samples',
    '200',
    '--check-data',
    test,
  ],
]);

// Captions: candidates proposed on val and run there, the fronts run on test; static lines and reference points on
// test.
const captionSweep = (name, set, settings) => {
  const folder = at(name);
  const shards = fs.existsSync(folder) ? fs.readdirSync(folder).filter((entry) => entry.startsWith('shard-')) : [];
  const runs =
    shards.length > 0
      ? shards.map((shard) => path.join(folder, shard, 'runs.jsonl'))
      : [path.join(folder, 'runs.jsonl')];
  if (!fs.existsSync(path.join(folder, 'sweep.json')))
    mue([
      'sweep',
      '--task',
      'caption',
      '--data',
      data(`caption-${set}.jsonl`),
      '--thresholds',
      settings,
      '--out',
      folder,
      ...device,
    ]);
  return mue(['sweep', ...runs, '--retention', '0.96', '--out', folder]);
};
if (!fs.existsSync(at('captions-proposed', 'front.json'))) {
  mue([
    'record',
    '--task',
    'caption',
    '--data',
    data('caption-val.jsonl'),
    '--out',
    at('caption-val.jsonl'),
    ...device,
  ]);
  const policies = ['--policies', 'similarity,softmax-margin,patience-confidence,fixed', '--points', '8'];
  mue(['sweep', at('caption-val.jsonl'), ...policies, '--out', at('captions-proposed')]);
}
captionSweep('captions-val', 'val', at('captions-proposed', 'front.json'));
const captionText = captionSweep('captions-test', 'test', at('captions-val', 'front.json'));
fs.writeFileSync(at('caption-settings.json'), JSON.stringify(captionSettings()));
captionSweep('captions-reference', 'test', at('caption-settings.json'));
keep(at('captions-reference', 'sweep.csv'), 'data/captions-reference.csv');
keep(at('captions-test', 'sweep.csv'), 'data/captions.csv');

// The same model in PyTorch.
const deviations = [...entailmentDeviations(test), ...captionDeviations(at('captions-reference', 'sweep.json'))];
write('data/reference.csv', deviationsCsv(deviations));

// Run for real with the recommended plans: full depth, exits, and the ordinarily trained model.
const runs = {};
const evaluate = (name, args) => {
  if (!fs.existsSync(at('runs', name, 'metrics.json'))) mue(['evaluate', '-q', '--out', at('runs', name), ...args]);
  runs[name] = json(at('runs', name, 'metrics.json'));
};
const TASKS = [
  ['snli-ve', 'snli-ve-test.jsonl'],
  ['caption', 'caption-test.jsonl'],
];
for (const [task, file] of TASKS) {
  const of = ['--task', task, '--data', data(file), ...device];
  evaluate(`${task}-full`, [...of, '--exit', 'never']);
  evaluate(`${task}-exits`, [...of, '--exit', 'model']);
  if (task === 'snli-ve') evaluate(`${task}-certified`, [...of, '--exit', path.join(docs, 'plan-snli-ve.json')]);
  if (options.baseline)
    evaluate(`${task}-baseline`, [...of, '--exit', 'never', '--model', path.resolve(options.baseline)]);
}
const compare = (early, full, claims) =>
  JSON.parse(mue(['compare', at('runs', early), at('runs', full), '--json', ...claims]));
const CLAIMS = {
  'snli-ve': ['--retention', '0.99', '--saving', '0.5'],
  caption: ['--retention', '0.96', '--saving', '0.4'],
};
const comparisons = {};
for (const [task] of TASKS) {
  for (const early of ['exits', ...(task === 'snli-ve' ? ['certified'] : [])]) {
    comparisons[`${task}-${early}`] = compare(`${task}-${early}`, `${task}-full`, CLAIMS[task]);
    if (options.baseline)
      comparisons[`${task}-${early}-baseline`] = compare(`${task}-${early}`, `${task}-baseline`, CLAIMS[task]);
  }
}

// Milliseconds: the same rows on each device, nothing else running; full depth and exits in turns, since a machine has
// moods that last minutes.
const TURNS = 6;
const machines = fs.existsSync(at('machines.json')) ? json(at('machines.json')) : {};
const timings = {};
for (const place of options.timing.split(',')) {
  const [on, batch = '1'] = place.split(':');
  machines[on] ??= `${os.cpus().length} × ${os.cpus()[0].model.trim()}`;
  for (const [task, file] of TASKS) {
    const name = (exit) => `timed-${on}-b${batch}-${task}-${exit}`;
    const of = [
      '--task',
      task,
      '--data',
      data(file),
      '--limit',
      options['timed-rows'],
      '--device',
      on,
      '--batch',
      batch,
      '--warmup',
      '4',
    ];
    const exits = ['never', 'model'].filter((exit) => !fs.existsSync(at('runs', name(exit), 'metrics.json')));
    for (let turn = 0; turn < TURNS; turn++)
      for (const exit of exits)
        mue(['evaluate', '-q', ...of, '--exit', exit, '--shard', `${turn}/${TURNS}`, '--out', at('runs', name(exit))]);
    for (const exit of exits) mue(['merge', '-q', at('runs', name(exit)), '--out', at('runs', name(exit))]);
    for (const exit of ['never', 'model']) runs[name(exit)] = json(at('runs', name(exit), 'metrics.json'));
    const [full, early] = ['never', 'model'].map((exit) => runs[name(exit)].ms.p50);
    const {n, saving} = compare(name('model'), name('never'), CLAIMS[task]);
    timings[`${on}, ${batch === '1' ? 'one by one' : `batches of ${batch}`}: ${task}`] = {
      machine: machines[on],
      n,
      full,
      early,
      saving,
    };
  }
}

mue([
  'report',
  ...[at('sweep-test'), at('captions-reference'), at('captions-test')],
  ...Object.keys(runs)
    .filter((name) => !name.startsWith('timed-'))
    .map((name) => at('runs', name)),
  ...[
    path.join(docs, 'plan-snli-ve.json'),
    '--out',
    docs,
    '--title',
    'scenes-mue: quality against layers, MACs and milliseconds',
  ],
]);
const results = {
  runs,
  comparisons,
  timings,
  verdicts,
  promise,
  captionText,
  machines,
  deviations: deviationSummary(deviations),
};
write('data/results.json', `${JSON.stringify(results, null, 1)}\n`);
write('README.md', resultsPage(results));
const off = results.deviations.filter(({within}) => !within);
for (const {name, quality, layers} of off)
  console.error(`outside the tolerances: ${name}: ${quality}, layers ${layers}`);
if (off.length > 0) process.exitCode = 1;
