import {
  type CaptionCalibrationOptions,
  CaptionCalibration,
  captionParts,
} from '../../../src/calibration/captions/caption-calibration.js';
import {calibrateRuns, captionCoverage, recordedRows} from '../../../src/calibration/captions/recorded-runs.js';
import {sentenceScorer} from '../../../src/calibration/captions/sentence-scorer.js';
import {CaptionScorer} from '../../../src/metrics/caption-scores.js';
import {syntheticRuns} from '../../support/data/caption-runs.js';

const OPTIONS: CaptionCalibrationOptions = {maxDrop: 0.05, delta: 0.05, score: 'rouge-l', cost: 'macs', seed: 1};
const SOURCES = {data: 'd', rows: 'r'};
const [full, shallow, careless] = [0, 1, 2];

test('CaptionCalibration: certifies what keeps its score, and gives up what does not', () => {
  const runs = syntheticRuns(400, 0.05);
  const {plan, certificate} = calibrateRuns(runs, recordedRows(runs, 1), OPTIONS).result(SOURCES);
  expect(plan?.stacks).toEqual({
    'encoder.image': {policy: 'fixed', layers: 2},
    'encoder.text': {policy: 'fixed', layers: 2},
    decoder: {policy: 'fixed', layers: 1},
  });
  expect(certificate).toMatchObject({
    alpha: 0.05,
    full: 1,
    n1: 80,
    candidates: 2,
    itemsNeeded: null,
    data: 'd',
    runs: 'r',
  });
  expect(certificate.chosen).toMatchObject({setting: runs.header.settings[shallow!], accepted: true});
  expect(certificate.expected!.macs).toEqual({run: 80, full: 100, saved: expect.closeTo(0.2)});
  expect(certificate.expected!.layers).toEqual({image: 2, text: 2, decoder: 1});
  // A word of six is lost in a twentieth of the pictures.
  expect(certificate.expected!.retention).toBeGreaterThan(0.98);
  expect(plan?.certificate).toEqual(certificate);
});

test('CaptionCalibration: a picture that nobody needs any longer is not asked for', () => {
  const runs = syntheticRuns(400, 0);
  const rows = recordedRows(runs, 1);
  const calibration = new CaptionCalibration(runs.header, runs.header.settings, captionParts(400), OPTIONS);
  const wanted: string[] = [];
  for (const row of rows) {
    if (calibration.wanted.length === 0) break;
    wanted.push(calibration.wanted.join(' '));
    // Only what was asked for is there.
    calibration.add({...row, captions: row.captions.map((own, s) => (calibration.wanted.includes(s) ? own : null))});
  }
  const test = [full, shallow].join(' ');
  expect(wanted).toEqual([
    ...new Array<string>(80).fill([full, shallow, careless].join(' ')),
    ...new Array<string>(wanted.length - 80).fill(test),
  ]);
  expect(wanted.length).toBeGreaterThanOrEqual(80 + calibration.fewest);
  expect(wanted.length).toBeLessThan(200);
  expect(calibration.result(SOURCES).certificate.chosen!.drop).toBe(0);
});

test('CaptionCalibration: says how many pictures it would take where nothing can be certified', () => {
  const few = syntheticRuns(30, 0);
  const {plan, certificate} = calibrateRuns(few, recordedRows(few, 1), OPTIONS).result(SOURCES);
  expect([plan, certificate.chosen, certificate.expected]).toEqual([undefined, null, null]);
  const needed = certificate.itemsNeeded!;
  expect(needed).toBeGreaterThan(24);
  const enough = syntheticRuns(Math.ceil(needed / 0.8) + 5, 0);
  expect(calibrateRuns(enough, recordedRows(enough, 1), OPTIONS).result(SOURCES).plan).toBeDefined();
  // What loses more than is allowed passes with no number of pictures.
  const worse = syntheticRuns(200, 1);
  expect(calibrateRuns(worse, recordedRows(worse, 1), OPTIONS).result(SOURCES).certificate).toMatchObject({
    chosen: null,
    itemsNeeded: null,
  });
});

test('CaptionCalibration: refuses what has no candidates, no pictures, or nothing to keep', () => {
  const {header} = syntheticRuns(1, 0);
  const calibration = (settings = header.settings, options = OPTIONS): CaptionCalibration =>
    new CaptionCalibration(header, settings, {choose: 1, test: 1}, options);
  expect(() => calibration([header.settings[0]!])).toThrow(expect.objectContaining({code: 'no-candidates'}));
  expect(() => calibration(undefined, {...OPTIONS, maxDrop: 1})).toThrow(expect.objectContaining({code: 'alpha'}));
  expect(() => calibration().result(SOURCES)).toThrow(expect.objectContaining({code: 'no-items'}));
  expect(() => captionParts(1)).toThrow(expect.objectContaining({code: 'too-few-items'}));
  const silent = syntheticRuns(10, 0);
  const rows = recordedRows(silent, 1).map((row) => ({...row, references: ['what nobody says']}));
  expect(() => calibrateRuns(silent, rows, OPTIONS)).toThrow(expect.objectContaining({code: 'score-zero'}));
});

test('captionCoverage: the promise is broken no more often than δ allows, also at its edge', () => {
  const runs = syntheticRuns(250, 0.3);
  const rows = recordedRows(runs, 1);
  // The true drop of the shallow setting: what chance makes of the promise is only seen close to it.
  const drop = 0.3 / 6;
  for (const maxDrop of [0.8 * drop, drop, 2.5 * drop]) {
    const coverage = captionCoverage(runs, rows, {...OPTIONS, maxDrop}, 100);
    expect(coverage).toMatchObject({samples: 100, n: 250, kept: true});
    if (maxDrop > 2 * drop) expect([coverage.certified > 50, coverage.meanSaved]).toEqual([true, expect.closeTo(0.2)]);
  }
});

test('sentenceScorer: a score of one picture is that of the corpus whose frequencies are given', () => {
  const references = [['a red kite above the house'], ['two blue trees', 'trees of blue']];
  const captions = ['a red kite', 'two trees of blue'];
  const whole = new CaptionScorer(references).score(captions);
  const each = (score: 'rouge-l' | 'cider-d'): number[] => {
    const scorer = sentenceScorer(score, references);
    return references.map((own, i) => scorer(own, [captions[i]!])[0]!);
  };
  expect(each('rouge-l')).toEqual([...whole.rougeL.perItem]);
  expect(each('cider-d')).toEqual([...whole.ciderD.perItem].map((value) => expect.closeTo(value, 10)));
});
