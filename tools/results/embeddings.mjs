import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {cosine} from '../../dist/exit/policies/cosine.js';
import {recallAt, similarities} from '../../dist/metrics/retrieval.js';
import {unitRows} from '../../dist/nn/layer-norm.js';
import {loadModel} from '../../dist/node/model/load-model.js';
import {ClipTokenizer} from '../../dist/data/clip-tokenizer.js';
import {findClipMerges} from '../../dist/node/model/vocabulary.js';

// `node tools/results/embeddings.mjs`, after a build: docs/results/embeddings.md, image–text retrieval of scenes-coca
// by depth. Embeddings of every image and caption at every depth are recorded once (out/results), then replayed.

const root = fileURLToPath(new URL('../..', import.meta.url));
const work = path.join(root, 'out/results');
const DEPTH = 6;
const TEXT_DEPTH = 4;
fs.mkdirSync(work, {recursive: true});

const model = await loadModel('scenes-coca', {device: 'wasm'});
const {module, encoding, cost} = model.model;
const rowsOf = (set) =>
  fs
    .readFileSync(path.join(root, 'data/scenes', `caption-${set}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map(JSON.parse);
const bytesOf = (row) => fs.readFileSync(path.join(root, 'data/scenes', row.image));

/** A policy that runs every layer, and keeps the embedding after each with the similarity of the states. */
function everyDepth(embedding) {
  const embeddings = [];
  const states = [];
  const observe = async (before, after) => {
    const unit = embedding(after);
    embeddings.push(Array.from(await unit.data()));
    unit.dispose();
    states.push(await cosine(before, after));
    return {exit: false};
  };
  return {policy: {name: 'every-depth', observe}, embeddings, states};
}

/** Lines of {id, image: [depth][number], cos: [depth], texts: [text][depth][number]}. */
async function record(set) {
  const file = path.join(work, `embeddings-${set}.jsonl`);
  if (!fs.existsSync(file)) {
    const query = module.vision.pooler.queries();
    const first = query.slice([0, 0, 0, 0], [-1, -1, 1, -1]);
    const tokenizer = new ClipTokenizer({
      merges: findClipMerges().toString('utf8'),
      size: model.model.config.end_id + 1,
    });
    const lines = [];
    for (const row of rowsOf(set)) {
      const image = everyDepth((x) => unitRows(module.vision.embedding(module.vision.pool(x, first))));
      const pixels = await model.stackedPixels([bytesOf(row)]);
      (await encoding.runTower(pixels, image.policy)).x.dispose();
      pixels.dispose();
      const texts = [];
      for (const text of row.references) {
        const one = everyDepth((x) => unitRows(module.text.embedding(x)));
        const {ids} = tokenizer.sequence(text, model.model.contextLength);
        (await model.model.embedTexts([ids], one.policy)).features.dispose();
        texts.push(one.embeddings);
      }
      lines.push(JSON.stringify({id: row.id, image: image.embeddings, cos: image.states, texts}));
    }
    fs.writeFileSync(`${file}.partial`, `${lines.join('\n')}\n`);
    fs.renameSync(`${file}.partial`, file);
  }
  return fs.readFileSync(file, 'utf8').trim().split('\n').map(JSON.parse);
}

/** Similarities of one set at every depth, and what depends on them. */
function retrieval(rows) {
  const owner = rows.flatMap((row, i) => row.texts.map(() => i));
  const captions = Array.from({length: TEXT_DEPTH}, (_, t) => {
    const each = rows.flatMap((row) => row.texts.map((text) => text[t]));
    return {size: each[0].length, count: each.length, values: Float32Array.from(each.flat())};
  });
  const images = rows.map((row) => row.image.map((values) => Float32Array.from(values)));
  const similarity = captions.map((texts) =>
    Array.from({length: DEPTH}, (_, v) => images.map((image) => similarities(image[v], texts))),
  );
  const recall = (depths, text = TEXT_DEPTH) => {
    const [at] = recallAt(
      depths.map((depth, i) => similarity[text - 1][depth - 1][i]),
      owner,
      [1],
    );
    return [at.textToImage, at.imageToText];
  };
  const neighbours = similarity[TEXT_DEPTH - 1].map((of) =>
    of.map((row) => [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 5)),
  );
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const scores = {
    'similarity of the states': (i, depth) => rows[i].cos[depth - 1],
    'similarity of the embeddings': (i, depth) => (depth < 2 ? -1 : dot(images[i][depth - 1], images[i][depth - 2])),
    'the first 5 neighbours agree': (i, depth) =>
      depth < 2 ? -1 : neighbours[depth - 1][i].filter((t) => neighbours[depth - 2][i].includes(t)).length / 5,
  };
  return {count: rows.length, owner, recall, neighbours, scores};
}

/** Multiply-accumulates of an image that leaves after `depth` layers, with what its tests cost. */
function macsOf(depth, tests) {
  return cost.embedImage({exitLayer: depth, depth: DEPTH, scores: [], exited: true}).run + tests;
}
const FULL = macsOf(DEPTH, 0);
const EMBEDDING = cost.pooler(1) + cost.imageProjection();
const COST = {
  'similarity of the states': (tests) => tests * cost.visionTest(),
  'similarity of the embeddings': (tests) => tests * EMBEDDING,
  'the first 5 neighbours agree': (tests) => tests * EMBEDDING,
};

const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
const percent = (x) => (100 * x).toFixed(2);
const pair = (list) => list.map(percent).join('; ');

/** A threshold on a set: depths, cost, recall, and that of the mix of two fixed depths of equal cost. */
function replay({count, recall, scores}, name, threshold) {
  let macs = 0;
  const depths = Array.from({length: count}, (_, i) => {
    let depth = 1;
    while (depth < DEPTH && !(scores[name](i, depth) >= threshold)) depth++;
    // After the first layer there is no embedding before it to compare with.
    const from = name === 'similarity of the states' ? 0 : 1;
    macs += macsOf(depth, COST[name](Math.max(0, Math.min(depth, DEPTH - 1) - from)));
    return depth;
  });
  macs /= count;
  const layers = 1 + (macs - macsOf(1, 0)) / (macsOf(2, 0) - macsOf(1, 0));
  const low = Math.max(1, Math.min(DEPTH - 1, Math.floor(layers)));
  const [a, b] = [low, low + 1].map((depth) => recall(new Array(count).fill(depth)));
  const mix = a.map((x, k) => x + (b[k] - x) * (layers - low));
  return {layers: mean(depths), saved: 1 - macs / FULL, recall: recall(depths), mix};
}

/** Milliseconds of an image at every depth as a share of full depth, depths by turns: medians. */
async function milliseconds() {
  const file = path.join(work, 'embeddings-ms.json');
  if (!fs.existsSync(file)) {
    const ms = Array.from({length: DEPTH}, () => []);
    for (const [i, row] of rowsOf('test').slice(0, 22).entries())
      for (let depth = 1; depth <= DEPTH; depth++) {
        const stacks = {vision: {policy: 'fixed', layers: depth}};
        const exit = depth === DEPTH ? 'never' : {version: 1, mode: 'corrected', skippedKv: 'project', stacks};
        const embedded = await model.embedPicture(bytesOf(row), {exit});
        if (i >= 2) ms[depth - 1].push(embedded.ms.total);
      }
    const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
    const shares = ms.map((of) => ({ms: median(of), share: median(of.map((x, i) => x / ms[DEPTH - 1][i]))}));
    fs.writeFileSync(file, JSON.stringify(shares));
  }
  return JSON.parse(fs.readFileSync(file, 'utf8'));
}

const val = retrieval(await record('val'));
const test = retrieval(await record('test'));
const clock = await milliseconds();
const fixed = Array.from({length: DEPTH}, (_, d) => d + 1);
const oracle = test.neighbours[0].map((_, i) => {
  const at = fixed.find((depth) => test.owner[test.neighbours[depth - 1][i][0]] === i);
  return at ?? DEPTH;
});
const quantiles = (name) => {
  if (name === 'the first 5 neighbours agree') return [0.2, 0.6, 1];
  const all = Array.from({length: val.count}, (_, i) => [2, 3, 4, 5].map((depth) => val.scores[name](i, depth))).flat();
  all.sort((a, b) => a - b);
  return [2, 4, 6, 8, 10, 12, 14].map((k) => all[Math.floor((k / 16) * all.length)]);
};

const replays = Object.keys(COST).flatMap((name) =>
  quantiles(name).map((threshold) => ({name, threshold, ...replay(test, name, threshold)})),
);
const best = replays
  .map(({recall, mix, ...of}) => ({...of, gain: 100 * (recall[0] - mix[0])}))
  .reduce((a, b) => (b.gain > a.gain ? b : a));

const page = [
  '# Retrieval by depth',
  '',
  'Written by `node tools/results/embeddings.mjs`. Model: `scenes-coca`; image–text retrieval on `data/scenes` (val 299 images, test 499, five captions',
  'each). Recall@1 in %, text → image; image → text. Costs are those of one image; its text costs at most 1 % of that.',
  '',
  '## Fixed depths',
  '',
  '| vision layers of 6 | MACs saved | milliseconds saved | ms, p50 | val | test, 1 text layer | 2 | 3 | all 4 |',
  '|---|---|---|---|---|---|---|---|---|',
  ...fixed.map((depth) => {
    const all = (set) => new Array(set.count).fill(depth);
    const {ms, share} = clock[depth - 1];
    const texts = [1, 2, 3, 4].map((t) => pair(test.recall(all(test), t)));
    return `| ${depth} | ${percent(1 - macsOf(depth, 0) / FULL)} % | ${((1 - share) * 100).toFixed(0)} % | ${ms.toFixed(0)} | ${pair(val.recall(all(val)))} | ${texts.join(' | ')} |`;
  }),
  '',
  'Milliseconds: wasm, one thread, decoding of the JPEG included, medians of 20 test images with all depths by turns; the share is the median of the',
  'ratios to full depth. The machine (2 × Intel Xeon 2.5 GHz, virtual) was busy: the shares say more than the milliseconds.',
  '',
  `An oracle that leaves at the first depth where the nearest caption is the image's own runs ${mean(oracle).toFixed(2)} layers, with ${pair(test.recall(oracle))} on test: image → text`,
  'needs hardly a layer for most images, but their embeddings then are no good for text → image.',
  '',
  '## Policies, replayed',
  '',
  'A threshold on each score, from quantiles on val; "mix" is the randomized baseline: the best mix of two neighbouring fixed depths of equal MACs. Tests are',
  'counted: a similarity of embeddings or of neighbours needs the pooler after every layer, 9 % of a layer each.',
  '',
  '| score | threshold | val: layers | MACs saved | R@1 | test: layers | MACs saved | R@1 | mix |',
  '|---|---|---|---|---|---|---|---|---|',
  ...Object.keys(COST).flatMap((name) =>
    quantiles(name).map((threshold) => {
      const [a, b] = [val, test].map((set) => replay(set, name, threshold));
      return `| ${name} | ${threshold.toFixed(4)} | ${a.layers.toFixed(2)} | ${percent(a.saved)} % | ${pair(a.recall)} | ${b.layers.toFixed(2)} | ${percent(b.saved)} % | ${pair(b.recall)} | ${pair(b.mix)} |`;
    }),
  ),
  '',
  `The largest gain over the mix on test, text → image, is ${best.gain.toFixed(2)} points (${best.name}, ${best.threshold.toFixed(4)}): of ${test.owner.length} captions,`,
  `${Math.round((best.gain / 100) * test.owner.length)}. Scores of neighbours need the captions that will be searched at the time an image is embedded; that search is not counted. No intervals`,
  'were computed. The recommended plan (`exit.json`) is the fixed depth of 3: the smallest that keeps 99.5 % of full depth in both directions on val.',
];
fs.writeFileSync(path.join(root, 'docs/results/embeddings.md'), `${page.join('\n')}\n`);
model[Symbol.dispose]();
