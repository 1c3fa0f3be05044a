import fs from 'node:fs';
import {PolicyReplay} from '../../dist/calibration/replay/policy-replay.js';
import {readRecordings} from '../../dist/node/runs/read-shards.js';

// How far our figures are from those of the PyTorch model (data/scenes/reference.json), point by point.

/** What may differ: JPEG decoders differ by a grey level or two, and with it a few answers of a test set. */
export const TOLERANCES = {accuracy: 0.005, CIDEr: 0.05, layers: 0.05};

const REFERENCE = new URL('../../data/scenes/reference.json', import.meta.url);

/** All static depths and threshold triples of entailment, replayed from one recording. */
export function entailmentDeviations(recordingFile) {
  const {recording} = readRecordings([recordingFile]);
  const replay = new PolicyReplay(recording);
  const {entailment} = JSON.parse(fs.readFileSync(REFERENCE, 'utf8'));
  const rows = [];
  const add = (kind, setting, theirs, outcomes) => {
    const {accuracy, layers} = replay.means(outcomes);
    const ours = {accuracy: accuracy[0], layers: replay.stacks.map(({stack}) => layers[stack][0])};
    rows.push({
      task: 'snli-ve',
      kind,
      setting,
      metric: 'accuracy',
      theirs: theirs.accuracy,
      ours: ours.accuracy,
      layersOff: Math.max(...theirs.layers.map((l, i) => Math.abs(l - ours.layers[i]))),
    });
  };
  for (const [i, byText] of entailment.static.entries()) {
    for (const [t, byDecoder] of byText.entries()) {
      for (const [d, accuracy] of byDecoder.entries()) {
        const layers = [i + 1, t + 1, d + 1];
        const [image, text, decoder] = layers;
        const outcomes = replay.outcomes({encoder: 'fixed', policy: 'fixed', image, text, decoder});
        add('static', layers, {accuracy, layers}, outcomes);
      }
    }
  }
  const column = Object.fromEntries(entailment.columns.map((name, i) => [name, i]));
  for (const point of entailment.sweep) {
    const of = (name) => point[column[name]];
    const [image, text, decoder] = ['theta_image', 'theta_text', 'theta_decoder'].map(of);
    const layers = ['image_layers', 'text_layers', 'decoder_layers'].map(of);
    add(
      'thresholds',
      [image, text, decoder],
      {accuracy: of('accuracy'), layers},
      replay.outcomes({encoder: 'similarity', policy: 'similarity', image, text, decoder}),
    );
  }
  return rows;
}

/** The caption settings that the reference holds, as a settings file for `mue sweep --thresholds`. */
export function captionSettings() {
  const {captions} = JSON.parse(fs.readFileSync(REFERENCE, 'utf8'));
  const lines = captions.static.filter(
    ({image, text, decoder}) => [image, text, decoder].filter((depth) => depth === 6).length >= 2,
  );
  return {
    points: [
      ...lines.map(({image, text, decoder}) => ({encoder: 'fixed', policy: 'fixed', image, text, decoder})),
      ...captions.sweep
        .filter(({theta_text}) => theta_text === 0.55)
        .map(({theta_image, theta_text, theta_decoder}) => [theta_image, theta_text, theta_decoder]),
    ],
  };
}

/** Captions that were run for real. @param sweep the sweep.json of `mue sweep --task caption` */
export function captionDeviations(sweepFile) {
  const {captions} = JSON.parse(fs.readFileSync(REFERENCE, 'utf8'));
  const {points} = JSON.parse(fs.readFileSync(sweepFile, 'utf8'));
  return points.flatMap((point) => {
    const fixed = point.encoder === 'fixed';
    const setting = [point.image, point.text, point.decoder];
    const match = fixed
      ? captions.static.find(
          ({image, text, decoder}) => image === point.image && text === point.text && decoder === point.decoder,
        )
      : captions.sweep.find(
          ({theta_image, theta_text, theta_decoder}) =>
            theta_image === point.image && theta_text === point.text && theta_decoder === point.decoder,
        );
    if (match === undefined || (fixed && point.policy !== 'fixed')) return [];
    const theirs = fixed ? setting : [match.image_layers, match.text_layers, match.decoder_layers];
    const ours = [point.layers.image, point.layers.text, point.layers.decoder];
    return [
      {
        task: 'caption',
        kind: fixed ? 'static' : 'thresholds',
        setting,
        metric: 'CIDEr',
        theirs: match.CIDEr,
        ours: point.metrics['CIDEr-D'],
        layersOff: Math.max(...theirs.map((l, i) => Math.abs(l - ours[i]))),
      },
    ];
  });
}

export function deviationsCsv(rows) {
  const lines = rows.map(({task, kind, setting, metric, theirs, ours, layersOff}) =>
    [task, kind, ...setting.map((x) => x ?? 'never'), metric, theirs, ours.toFixed(4), layersOff.toFixed(4)].join(','),
  );
  return `task,kind,image,text,decoder,metric,reference,ours,largest_layer_difference\n${lines.join('\n')}\n`;
}

/** The worst of each kind, and whether it is within the tolerances. */
export function deviationSummary(rows) {
  const kinds = [...new Set(rows.map(({task, kind}) => `${task} ${kind}`))];
  return kinds.map((name) => {
    const of = rows.filter(({task, kind}) => `${task} ${kind}` === name);
    const metric = of[0].metric;
    const quality = Math.max(...of.map(({theirs, ours}) => Math.abs(theirs - ours)));
    const layers = Math.max(...of.map(({layersOff}) => layersOff));
    // The reference is rounded to four digits.
    const within = quality <= TOLERANCES[metric] + 5e-5 && layers <= TOLERANCES.layers + 5e-5;
    return {name, points: of.length, metric, quality, layers, within};
  });
}
