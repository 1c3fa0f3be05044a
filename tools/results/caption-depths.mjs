import fs from 'node:fs';
import path from 'node:path';
import {CaptionRuns, sweepCaptions} from '../../dist/calibration/sweep/caption-sweep.js';
import {captionVerdicts} from '../../dist/calibration/sweep/caption-verdicts.js';
import {settingText} from '../../dist/calibration/sweep/text.js';
import {settingPlan} from '../../dist/calibration/policy-setting.js';
import {parseRuns} from '../../dist/calibration/settings/runs.js';
import {CaptionScorer} from '../../dist/metrics/caption-scores.js';
import {readShards} from '../../dist/node/runs/read-shards.js';
import {percent, signedPoints} from '../../dist/text/format.js';
import {byTurns, mue, pictureOf, readJson, root, scenes} from './command.mjs';

// Captions of scenes-coca by depth of its three towers: the part of docs/results/embeddings.md that is about words.

const numbers = (from, to) => Array.from({length: to - from + 1}, (_, i) => from + i);
const fixed = (image, text, decoder) => ({encoder: 'fixed', policy: 'fixed', image, text, decoder});
const TOWERS = {vision: 6, text: 4, multimodal: 4};
const {vision, text, multimodal} = TOWERS;
const SETTINGS = [
  ...numbers(1, vision).map((depth) => fixed(depth, text, multimodal)),
  ...numbers(1, text - 1).map((depth) => fixed(vision, depth, multimodal)),
  ...numbers(1, multimodal - 1).map((depth) => fixed(vision, text, depth)),
  // Depths that the reference chose on val for shares of 99, 96, 94 and 90 %, and the cheapest of 4 layers.
  ...[fixed(6, 2, 3), fixed(6, 1, 2), fixed(5, 1, 3), fixed(4, 3, 4), fixed(4, 1, 3), fixed(4, 1, 4)],
  ...[0.9, 0.935, 0.95].map((image) => ({...fixed(image, null, multimodal), encoder: 'similarity'})),
  ...[0.5, 0.8, 0.95].map((decoder) => ({...fixed(vision, text, decoder), policy: 'softmax-margin'})),
  ...[0.92, 0.97].map((decoder) => ({...fixed(vision, text, decoder), policy: 'similarity'})),
];

/** Settings whose milliseconds are measured, full depth first. */
const TIMED = [
  fixed(6, 4, 4),
  ...numbers(3, 5).map((depth) => fixed(depth, 4, 4)),
  fixed(5, 1, 3),
  fixed(4, 1, 4),
  fixed(6, 4, 2),
];

/**
 * @param model   scenes-coca, borrowed
 * @param work    folder that runs are kept in
 * @param limit   pictures of the test set
 * @param timed   pictures that are timed; 0 leaves milliseconds out
 * @returns       lines of Markdown
 */
export async function captionDepths(model, work, limit, timed) {
  const folder = path.join(work, 'captions');
  const settings = path.join(work, 'caption-depths.json');
  fs.writeFileSync(settings, JSON.stringify({points: SETTINGS}));
  const data = path.join(root, 'data/scenes/caption-test.jsonl');
  const run = ['--task', 'caption', '--model', 'scenes-coca', '--data', data, '--thresholds', settings];
  // What is finished is not opened again.
  const done = path.join(folder, 'runs.jsonl');
  const rows = fs.existsSync(done) ? fs.readFileSync(done, 'utf8').trim().split('\n').length - 1 : 0;
  if (rows < limit) mue(['sweep', ...run, '--limit', String(limit), '--out', folder, '--device', 'wasm']);
  const shards = readShards([path.join(folder, 'runs.jsonl')]);
  const runs = new CaptionRuns(parseRuns(shards.header, shards.rows, shards.source));
  const sweep = sweepCaptions(runs, shards.sha256);
  const verdicts = captionVerdicts(runs, sweep, {claim: 0.96, level: 0.95, resamples: 10_000, seed: 0});

  const ms = await milliseconds(model, path.join(work, 'captions-ms.json'), timed, runs.runs.header);
  const key = (setting) => settingText(setting);
  const {full} = ms;
  const timedText = full
    ? `Milliseconds: processor time, medians of ${timed} pictures, all settings by turns; full depth ${full.ms.toFixed(0)} ms.`
    : 'Milliseconds were not measured.';
  const cider = ({metrics}) => metrics['CIDEr-D'];
  const layers = (of) => [of.image, of.text, of.decoder].map((x) => Number(x.toFixed(2))).join(' / ');
  const line = (point) => {
    const time = ms[key(point) === key(TIMED[0]) ? 'full' : key(point)];
    const saved = time ? `${((1 - time.share) * 100).toFixed(0)} %` : '';
    return `| ${settingText(point)} | ${layers(point.layers)} | ${percent(point.etr)} | ${percent(point.macs.saved)} | ${saved} | ${cider(point).toFixed(3)} | ${percent(point.retention)} |`;
  };
  const head = [
    '| setting, vision / text, multimodal | layers | layers saved | MACs saved | milliseconds saved | CIDEr-D | kept |',
    '|---|---|---|---|---|---|---|',
  ];
  const bound = ({estimate, lowerBound}) => `${percent(estimate)} (≥ ${percent(lowerBound)})`;
  const judged = verdicts.filter(({cost, measure}) => cost === 'macs' && measure === 'CIDEr-D');
  return [
    '## Captions by depth',
    '',
    `open_clip's default search (6 beams in 3 groups) on the first ${runs.rows.length} pictures of test, every setting run for real (\`mue sweep --task caption\`). CIDEr-D at full depth is`,
    `${cider(sweep.full).toFixed(3)}; document frequencies are those of these pictures. ${timedText}`,
    '',
    ...head,
    ...sweep.static.map(line),
    '',
    'Policies:',
    '',
    ...head,
    ...sweep.points.map(line),
    '',
    oracleText(runs),
    '',
    ...judged.map(({policy, point, retention, saving, against}) => {
      const {gain} = against ?? {};
      const rival = gain
        ? `; over the best mix of fixed depths of equal MACs ${[gain.estimate, gain.low, gain.high].map(signedPoints).join(', ')} points of CIDEr-D (estimate, 95 % interval)`
        : '';
      return `- ${policy === 'fixed' ? 'similarity of vision' : `${policy} of multimodal`}, ${settingText(sweep.points[point])}: keeps ${bound(retention)}, saves ${bound(saving.macs)} of MACs${rival}.`;
    }),
  ];
}

/** An oracle of the vision tower: the first depth whose caption is full depth's, and the one that scores best. */
function oracleText(runs) {
  const byDepth = numbers(1, vision).map((depth) =>
    runs.outcomes.find(({setting}) => settingText(setting) === settingText(fixed(depth, text, multimodal))),
  );
  const full = byDepth.at(-1);
  const first = full.captions.map((caption, i) => 1 + byDepth.findIndex(({captions}) => captions[i] === caption));
  const best = full.captions.map((_, i) => {
    const scores = byDepth.map(({scores}) => scores.ciderD.perItem[i]);
    return 1 + scores.indexOf(Math.max(...scores));
  });
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
  const scorer = new CaptionScorer(runs.rows.map(({references}) => references));
  const {metrics} = scorer.score(best.map((depth, i) => byDepth[depth - 1].captions[i]));
  return (
    `Oracles of the vision tower, the other towers whole: leaving at the first depth that writes full depth's caption runs ${mean(first).toFixed(2)} of ${vision} layers; leaving at ` +
    `the depth whose caption scores best (the first of equals) runs ${mean(best).toFixed(2)} and reaches CIDEr-D ${metrics['CIDEr-D'].toFixed(3)}.`
  );
}

async function milliseconds(model, file, timed, header) {
  if (timed === 0) return {};
  if (!fs.existsSync(file)) {
    const ways = Object.fromEntries(
      TIMED.map((setting, i) => {
        const exit = i === 0 ? 'never' : settingPlan(setting, header);
        return [i === 0 ? 'full' : settingText(setting), (row) => model.caption(pictureOf(row), {exit})];
      }),
    );
    fs.writeFileSync(file, JSON.stringify(await byTurns(scenes('caption-test.jsonl').slice(0, timed + 2), ways)));
  }
  return readJson(file);
}
