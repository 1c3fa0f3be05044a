import fs from 'node:fs';
import path from 'node:path';
import {parseArgs} from 'node:util';
import {settingPlan} from '../../dist/calibration/policy-setting.js';
import {PolicyReplay} from '../../dist/calibration/replay/policy-replay.js';
import {settingGrid} from '../../dist/calibration/settings/grid.js';
import {pointCost, sweepRecording} from '../../dist/calibration/sweep/sweep.js';
import {settingText} from '../../dist/calibration/sweep/text.js';
import {sweepVerdicts} from '../../dist/calibration/sweep/verdicts.js';
import {loadModel} from '../../dist/node/model/load-model.js';
import {readRecordings} from '../../dist/node/runs/read-shards.js';
import {percent, signedPoints} from '../../dist/text/format.js';
import {byTurns, mue, pictureOf, readJson, root, scenes} from './command.mjs';

// `node tools/results/plain.mjs --model <folder> --learn <rows>`, after a build: docs/results/plain.md, what exits save of
// a model that was never trained for them, with exit adapters and without. Every step goes on where it was stopped.

const {values: options} = parseArgs({
  options: {
    /** A plain OFA model that answers entailments of data/scenes. */
    model: {type: 'string'},
    /** Rows that the adapters learn from, without labels: neither of calibration nor of test. */
    learn: {type: 'string'},
    /** In words, for the page. */
    'learn-text': {type: 'string', default: 'rows of other pictures'},
    work: {type: 'string', default: 'out/results/plain'},
    device: {type: 'string', default: 'wasm'},
    /** Items that are timed; 0 leaves milliseconds out. */
    timed: {type: 'string', default: '40'},
    /** Only the first rows: of calibration, and of test, separated by a comma. */
    limit: {type: 'string'},
    /** The machine, for the page. */
    machine: {type: 'string', default: 'this machine'},
  },
});
const work = path.resolve(options.work);
const at = (...parts) => path.join(work, ...parts);
fs.mkdirSync(work, {recursive: true});
const CLAIM = 0.99;
const TASK = ['--task', 'snli-ve'];
const data = (set) => path.join(root, 'data/scenes', `snli-ve-${set}.jsonl`);

if (!fs.existsSync(at('adapters.safetensors'))) {
  const learn = ['--data', options.learn, '--out', at('adapters.safetensors'), '--states', at('states')];
  fs.writeFileSync(at('adapters.json'), mue(['train', 'exits', options.model, ...TASK, ...learn, '--json']));
}
const MODELS = {
  'as it is': {name: 'bare', adapters: ['--no-adapters'], load: {adapters: false}},
  'with adapters': {
    name: 'adapted',
    adapters: ['--adapters', at('adapters.safetensors')],
    load: {adapters: at('adapters.safetensors')},
  },
};
/** Stacks that may leave: all, or the decoder alone, behind the whole encoder. */
const SCOPES = {
  'decoder alone': ({encoder, image}, [first]) => encoder === 'fixed' && image === first.depth,
  'encoder and decoder': () => true,
};

/** Both recordings of a model, replayed. */
function recorded({name, adapters}) {
  const limits = options.limit?.split(',') ?? [];
  const sets = ['calibration', 'test'].map((set, i) => {
    const file = at(`${name}-${set}.jsonl`);
    // What is finished is not opened again.
    const wanted = Math.min(scenes(`snli-ve-${set}.jsonl`).length, Number(limits[i] ?? Number.POSITIVE_INFINITY));
    const rows = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim().split('\n').length - 1 : 0;
    if (rows < wanted)
      mue([
        'record',
        '--model',
        options.model,
        ...adapters,
        ...TASK,
        '--data',
        data(set),
        ...(limits[i] ? ['--limit', limits[i]] : []),
        '--out',
        file,
        '--device',
        options.device,
      ]);
    const {recording, sha256} = readRecordings([file]);
    return {file, sha256, replay: new PolicyReplay(recording)};
  });
  return {calibration: sets[0], test: sets[1]};
}

/** The cheapest setting that keeps the claim on the calibration set, and what it does on test. */
function chosen({calibration, test}, policies, scope, cost) {
  const {replay} = calibration;
  const grid = settingGrid(replay, {policies, count: 40}).filter((setting) => scope(setting, replay.stacks));
  const {points} = sweepRecording(replay, grid, calibration.sha256);
  const price = (point) => pointCost(point, cost, replay.stacks);
  const [best] = points.filter(({retention}) => retention >= CLAIM).sort((a, b) => price(a) - price(b));
  const sweep = sweepRecording(test.replay, [grid[points.indexOf(best)]], test.sha256);
  const verdicts = sweepVerdicts(test.replay, sweep, {claim: CLAIM, level: 0.95, resamples: 10_000, seed: 0});
  return {
    setting: grid[points.indexOf(best)],
    kept: best.retention,
    point: sweep.points[0],
    verdict: verdicts.find((verdict) => verdict.cost === cost),
    sweep,
  };
}

const layers = (of) =>
  Object.values(of)
    .map((x) => x.toFixed(2))
    .join(' / ');
const recordings = Object.fromEntries(Object.entries(MODELS).map(([title, model]) => [title, recorded(model)]));
const found = Object.entries(recordings).flatMap(([model, sets]) =>
  Object.entries(SCOPES).flatMap(([scope, may]) =>
    ['layers', 'macs'].map((cost) => ({model, scope, cost, ...chosen(sets, ['softmax-margin'], may, cost)})),
  ),
);
const full = recordings['as it is'].test.replay;
const statics = Object.fromEntries(
  Object.entries(recordings).map(([title, {test}]) => [title, sweepRecording(test.replay, [], test.sha256)]),
);
const promises = Object.fromEntries(
  Object.entries(recordings).map(([title, {calibration}]) => {
    const plan = at(`${MODELS[title].name}-plan.json`);
    const said = at(`${MODELS[title].name}-certificate.txt`);
    if (!fs.existsSync(said)) {
      const how = ['--policy', 'softmax-margin', '--grid', '20', '--max-drop', '1%'];
      fs.writeFileSync(said, mue(['calibrate', calibration.file, ...how, '--out', plan], {ok: [0, 1]}));
    }
    const text = fs.readFileSync(said, 'utf8').trim();
    return [title, {text: text || 'nothing can be certified', plan: text ? readJson(plan) : undefined}];
  }),
);

/** Milliseconds of every chosen plan beside full depth, item by item. */
async function milliseconds() {
  if (Number(options.timed) === 0) return {};
  const file = at('ms.json');
  if (!fs.existsSync(file)) {
    const pipelines = {};
    for (const [title, {load}] of Object.entries(MODELS))
      pipelines[title] = await loadModel(options.model, {...load, device: options.device});
    const ask = (title, exit) => (row) => pipelines[title].entail(pictureOf(row), row.text, {exit});
    const ways = {full: ask('as it is', 'never')};
    for (const [i, {model, cost, setting}] of found.entries())
      if (cost === 'macs') ways[i] = ask(model, settingPlan(setting, recordings[model].test.replay.recording.header));
    for (const [title, {plan}] of Object.entries(promises)) if (plan) ways[title] = ask(title, plan);
    const rows = scenes('snli-ve-test.jsonl').filter((_, i) => i % 3 === 0);
    fs.writeFileSync(file, JSON.stringify(await byTurns(rows.slice(0, Number(options.timed) + 2), ways)));
    for (const pipeline of Object.values(pipelines)) pipeline[Symbol.dispose]();
  }
  return readJson(file);
}
const clock = await milliseconds();

const bound = ({estimate, lowerBound}) => `${percent(estimate)} (≥ ${percent(lowerBound)})`;
const saved = (name) => (clock[name] ? `${((1 - clock[name].share) * 100).toFixed(0)} %` : '');
const [encoderDepth, decoderDepth] = full.stacks.map(({depth}) => depth);
const fixed = (title, image, decoder) =>
  statics[title].static.find((point) => point.image === image && point.decoder === decoder);
const numbers = (n) => Array.from({length: n}, (_, i) => i + 1);
const oracle = (title, name, image) =>
  statics[title].oracle.find((point) => point.oracle === name && point.image === image);

const foundLine = ({model, scope, cost, setting, kept, point, verdict}, i) => {
  const {gain} = verdict.against ?? {};
  const rival = gain ? `${signedPoints(gain.estimate)} [${signedPoints(gain.low)}, ${signedPoints(gain.high)}]` : '–';
  return `| ${model}, ${scope}, by ${cost === 'macs' ? 'MACs' : 'layers'} | ${settingText(setting)} | ${percent(kept)} | ${bound(verdict.retention)} | ${layers(point.layers)} | ${percent(point.etr)} | ${percent(point.macs.saved)} | ${saved(i)} | ${rival} |`;
};
const oracleLine = ([text, point]) =>
  `| ${text} | ${percent(point.accuracy)} | ${layers(point.layers)} | ${percent(point.etr)} | ${percent(point.macs.saved)} |`;
const promiseLines = ([title, {text, plan}]) => {
  const lines = [`**${title[0].toUpperCase()}${title.slice(1)}**`, '', '```', text, '```', ''];
  if (!plan) return lines;
  const {test} = recordings[title];
  const {points} = sweepRecording(test.replay, [plan.certificate.chosen.setting], test.sha256);
  const {retention, layers: run, etr, macs} = points[0];
  const outcome = `${percent(retention)} of the accuracy, layers ${layers(run)}, ${percent(etr)} of layers, ${percent(macs.saved)} of MACs${clock[title] ? ` and ${saved(title)} of milliseconds` : ''} saved.`;
  return [...lines, `On test: ${outcome}`, ''];
};
const [bare, adapted] = Object.keys(MODELS);
const {n, header} = full.recording;
const {positions, layers: learnt} = readJson(at('adapters.json'));

const page = [
  '# A plain model that exits',
  '',
  'Written by `node tools/results/plain.mjs`. The model is a plain OFA of 17 M parameters (joint encoder, 6 + 6 layers of width 256), trained on the scenes in the',
  'ordinary way: loss on the last layer alone. Task: visual entailment on `data/scenes`; thresholds are chosen on the calibration set',
  `(${recordings[bare].calibration.replay.recording.n} items), figures are of ${n} items of test, where full depth has ${percent(statics[bare].full.accuracy)}. The model is not part of the repository; its hash begins with`,
  `\`${header.model.slice(0, 12)}\`. The exit adapters learnt from ${options['learn-text']} (${positions} items, without labels; kept at depths ${learnt
    .filter(({kept}) => kept)
    .map(({layer}) => layer)
    .join(', ')}).`,
  '',
  '## What is saved at 99 %',
  '',
  "The cheapest `softmax-margin` setting that keeps 99 % of full depth's accuracy on the calibration set; one threshold for all layers of the decoder, the encoder",
  'at a fixed depth or by similarity. "Kept" with its one-sided 95 % bound (paired bootstrap over pictures). The last column is the gain in points of accuracy over the',
  'best mix of fixed depths of the same cost, with its 95 % interval.',
  '',
  '| model, stacks that leave, chosen by | encoder, decoder | kept on calibration | kept on test | layers, encoder / decoder | layers saved | MACs saved | milliseconds saved | over fixed depths |',
  '|---|---|---|---|---|---|---|---|---|',
  ...found.map(foundLine),
  '',
  ...(clock.full
    ? [
        `Milliseconds: processor time on ${options.device}, one thread, decoding of the JPEG included, one item at a time: medians of the ratios to full depth (${clock.full.ms.toFixed(0)} ms) over ${options.timed} items, all settings by turns.`,
      ]
    : ['Milliseconds were not measured.']),
  `Machine: ${options.machine}. MACs count the adapters, and the logits that exit tests look at.`,
  '',
  '## Fixed depths',
  '',
  'Accuracy on test in %, with all layers of the other stack.',
  '',
  `| layers | ${numbers(Math.max(encoderDepth, decoderDepth)).join(' | ')} |`,
  `|---|${numbers(Math.max(encoderDepth, decoderDepth))
    .map(() => '---|')
    .join('')}`,
  ...[bare, adapted].map(
    (title) =>
      `| decoder, ${title} | ${numbers(decoderDepth)
        .map((d) => (100 * fixed(title, encoderDepth, d).accuracy).toFixed(1))
        .join(' | ')} |`,
  ),
  `| encoder | ${numbers(encoderDepth)
    .map((d) => (100 * fixed(bare, d, decoderDepth).accuracy).toFixed(1))
    .join(' | ')} |`,
  `| MACs saved, decoder | ${numbers(decoderDepth)
    .map((d) => percent(fixed(bare, encoderDepth, d).macs.saved, 1))
    .join(' | ')} |`,
  `| MACs saved, encoder | ${numbers(encoderDepth)
    .map((d) => percent(fixed(bare, d, decoderDepth).macs.saved, 1))
    .join(' | ')} |`,
  '',
  '## Oracles',
  '',
  "Exits that know the last layer's answer, or the right one: bounds that no policy can pass.",
  '',
  '| oracle | accuracy | layers, encoder / decoder | layers saved | MACs saved |',
  '|---|---|---|---|---|',
  ...[bare, adapted].flatMap((title) =>
    [
      ['the decoder at the first layer that agrees with the last', oracle(title, 'decoder-agreement', encoderDepth)],
      ['the decoder at the first layer that is right', oracle(title, 'decoder-correct', encoderDepth)],
      ['the cheapest pair of depths that agrees with the last', oracle(title, 'all-stacks-agreement-macs', null)],
    ].map(([text, point]) => oracleLine([`${title}: ${text}`, point])),
  ),
  '',
  '## A certificate',
  '',
  'What `mue calibrate --policy softmax-margin --grid 20 --max-drop 1%` promises of the same recordings, and how its plan does on test:',
  '',
  ...Object.entries(promises).flatMap(promiseLines),
];
fs.writeFileSync(path.join(root, 'docs/results/plain.md'), `${page.join('\n').trim()}\n`);
