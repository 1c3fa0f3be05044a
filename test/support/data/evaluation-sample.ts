import fs from 'node:fs';
import path from 'node:path';

export interface SampleRun {
  /** Layers of image, text and decoder of row i. */
  readonly layers: (i: number) => readonly [number, number, number];
  readonly correct: (i: number) => boolean;
  readonly exit?: object;
  readonly rows?: number;
}

/** Writes the files of an evaluation as `mue evaluate` does; a row's difficulty is i modulo 4. */
export function sampleEvaluation(folder: string, {layers, correct, exit = {}, rows = 40}: SampleRun): string {
  fs.mkdirSync(folder, {recursive: true});
  const lines = Array.from({length: rows}, (_, i) => {
    const [image, text, decoder] = layers(i);
    const ms = {
      image: 1,
      preprocess: 1,
      encode: 10 * image,
      decode: 5 * decoder,
      total: 2 + 10 * image + 5 * decoder,
      wall: 100,
    };
    const known = {
      index: i,
      id: `${i}`,
      image_id: `${i}`,
      answer: correct(i) ? 'yes' : 'no',
      score: -0.5,
      label: 'yes',
      correct: Number(correct(i)),
    };
    const macs = {run: 1e9 + 1e8 * (image + text + decoder), full: 2.8e9};
    return JSON.stringify({
      ...known,
      layers: {'encoder.image': image, 'encoder.text': text, decoder},
      macs,
      extra: {difficulty: i % 4},
      ms,
    });
  });
  const run = {
    version: 1,
    task: 'snli-ve',
    model: {name: 'micro', sha256: null},
    depths: {'encoder.image': 6, 'encoder.text': 6, decoder: 6},
    data: {name: 'sample.jsonl', bytes: 1, sha256: '00'},
    exit: {version: 1, mode: 'corrected', skippedKv: 'project', stacks: exit},
    device: 'cpu',
    threads: null,
    options: {},
    shard: {index: 0, count: 1},
  };
  fs.writeFileSync(path.join(folder, 'predictions.jsonl'), lines.map((line) => `${line}\n`).join(''));
  fs.writeFileSync(path.join(folder, 'run.json'), JSON.stringify(run));
  fs.writeFileSync(path.join(folder, 'metrics.json'), JSON.stringify({n: rows}));
  return folder;
}

/** A sweep as `mue sweep` writes it, as far as reports read it. */
export function sampleSweep(): object {
  const means = (accuracy: number, layers: number, run: number): object => ({
    accuracy,
    agreement: 0.9,
    retention: accuracy / 0.95,
    layers: {image: layers, text: layers, decoder: layers},
    etr: 1 - layers / 6,
    macs: {run, full: 2.8e9, saved: 1 - run / 2.8e9},
    exact: true,
  });
  const at = (x: number): object => ({encoder: 'similarity', image: x, text: null, decoder: x});
  return {
    format: 'mue-sweep',
    unknown: 1,
    recording: {
      task: 'snli-ve',
      n: 40,
      stacks: [
        {stack: 'encoder.image', depth: 6},
        {stack: 'encoder.text', depth: 6},
        {stack: 'decoder', depth: 6},
      ],
    },
    full: means(0.95, 6, 2.8e9),
    points: [
      {policy: 'similarity', ...at(0.9), ...means(0.945, 3, 1.9e9)},
      {policy: 'similarity', ...at(0.5), ...means(0.8, 1, 1.3e9)},
      {policy: 'similarity', ...at(0.7), ...means(0.7, 2, 1.6e9)},
      {policy: '<script>', ...at(0.25), ...means(0.949, 2, 1.6e9)},
    ],
    static: [{policy: 'fixed', encoder: 'fixed', image: 2, text: 2, decoder: 2, ...means(0.9, 2, 1.6e9)}],
    random: [{of: 0, accuracy: 0.85, agreement: 0.8, retention: 0.85 / 0.95, macs: 1.9e9}],
    oracle: [{oracle: 'decoder-agreement', image: 1, text: 1, ...means(0.95, 1, 1.3e9)}],
  };
}
