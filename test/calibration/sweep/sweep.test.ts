import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {parseSettings} from '../../../src/calibration/settings/file.js';
import {settingGrid} from '../../../src/calibration/settings/grid.js';
import {pointCost, sweepRecording} from '../../../src/calibration/sweep/sweep.js';
import {parseSweep} from '../../../src/calibration/sweep/file.js';
import {frontText, sweepCsv} from '../../../src/calibration/sweep/text.js';
import {sweepVerdicts} from '../../../src/calibration/sweep/verdicts.js';
import {UsageError} from '../../../src/runtime/errors.js';
import {JOINT_HEADER, syntheticRecording} from '../../support/data/synthetic-recording.js';

const replay = new PolicyReplay(syntheticRecording(60));
const settings = settingGrid(replay, {count: 5});
const sweep = sweepRecording(replay, settings, 'ef'.repeat(32));

test('sweepRecording: no point beats one of the front, and every other point is beaten or matched', () => {
  for (const cost of ['layers', 'macs'] as const) {
    const front = sweep.fronts[cost].map((i) => sweep.points[i]!);
    expect(front.length).toBeGreaterThan(1);
    for (const point of sweep.points)
      expect(
        front.some(
          (best) =>
            best.accuracy >= point.accuracy &&
            pointCost(best, cost, replay.stacks) <= pointCost(point, cost, replay.stacks),
        ),
      ).toBe(true);
    for (const [k, point] of front.entries()) if (k > 0) expect(point.accuracy).toBeGreaterThan(front[k - 1]!.accuracy);
  }
});

test('sweepRecording: retention and savings are against full depth', () => {
  const never = sweep.static.at(-1)!;
  expect(never).toMatchObject({retention: 1, etr: 0, agreement: 1, exact: true});
  expect(never.macs.saved).toBe(0);
  expect(sweep.full.macs.run).toBeCloseTo(100 + 1 + 40 + 2 + 15, 9);
  for (const {retention, accuracy} of sweep.points) expect(retention).toBeCloseTo(accuracy / sweep.full.accuracy, 12);
});

test('sweepVerdicts: about the cheapest point that keeps the claim, against fixed depths of the same cost', () => {
  const verdicts = sweepVerdicts(replay, sweep, {claim: 0.9, level: 0.95, resamples: 300, seed: 1});
  expect(verdicts).toHaveLength(2 * Object.keys(sweep.policyFronts).length);
  for (const {policy, cost, point, retention, holds, against, saving} of verdicts) {
    const chosen = sweep.points[point]!;
    expect(chosen.policy).toBe(policy);
    expect(retention.estimate).toBeCloseTo(chosen.retention, 12);
    expect(saving.layers.estimate).toBeCloseTo(chosen.etr, 12);
    expect(saving.macs.estimate).toBeCloseTo(chosen.macs.saved, 12);
    expect(holds).toBe(retention.lowerBound >= 0.9);
    const cheaper = sweep.points.filter(
      (p) =>
        p.policy === policy &&
        p.retention >= 0.9 &&
        pointCost(p, cost, replay.stacks) < pointCost(chosen, cost, replay.stacks),
    );
    expect(cheaper).toEqual([]);
    if (against === null) continue;
    const [a, b] = [sweep.static[against.from]!, sweep.static[against.to]!];
    const mean = (x: number, y: number): number => (1 - against.share) * x + against.share * y;
    if (against.share > 0)
      expect(mean(pointCost(a, cost, replay.stacks), pointCost(b, cost, replay.stacks))).toBeCloseTo(
        pointCost(chosen, cost, replay.stacks),
        9,
      );
    expect(against.gain.estimate).toBeCloseTo(chosen.accuracy - mean(a.accuracy, b.accuracy), 9);
    for (const point of sweep.static)
      if (pointCost(point, cost, replay.stacks) <= pointCost(chosen, cost, replay.stacks))
        expect(mean(a.accuracy, b.accuracy)).toBeGreaterThanOrEqual(point.accuracy - 1e-12);
  }
});

test('sweepCsv: a line for each point, each with as many cells as the head', () => {
  const lines = [...sweepCsv(sweep)].map((line) => line.trimEnd().split(','));
  expect(lines).toHaveLength(1 + sweep.points.length + sweep.static.length + sweep.oracle.length + sweep.random.length);
  for (const cells of lines) expect(cells).toHaveLength(19);
});

test('a sweep of a joint encoder: no place between, in files, tables and reports', () => {
  const joint = new PolicyReplay(syntheticRecording(30, {header: JOINT_HEADER}));
  const grid = settingGrid(joint, {count: 4, policies: ['softmax-margin', 'quantile-budget']});
  const own = sweepRecording(joint, grid, 'ef');
  expect(own.static).toHaveLength(12);
  expect(own.full.layers).toEqual({image: 3, decoder: 4});
  expect(own.static.at(-1)).toMatchObject({image: 3, decoder: 4, etr: 0, accuracy: own.full.accuracy});
  const lines = [...sweepCsv(own)].map((line) => line.trimEnd().split(','));
  for (const cells of lines.slice(1)) {
    expect(cells).toHaveLength(19);
    expect([cells[6], cells[12]]).toEqual(['', '']);
  }
  const [, head, first] = [...frontText(own, 'layers')];
  expect(head).toMatch(/layers e\/d .* encoder, decoder/);
  expect(first).toMatch(/ \d\.\d\d\/\d\.\d\d /);
  const {points, depths} = parseSweep(JSON.parse(JSON.stringify(own)), 'sweep.json');
  expect(depths).toEqual({encoder: 3, decoder: 4});
  expect(points[1]!.setting).toMatch(/^encoder [\d.]+|never, decoder /);
  expect(points[1]!.layers).toEqual({encoder: expect.any(Number), decoder: expect.any(Number)});
  expect(parseSettings(JSON.stringify({points: own.points}), 'sweep.json')).toEqual(JSON.parse(JSON.stringify(grid)));
});

test('parseSettings: settings as they were written, and lists as similarity thresholds', () => {
  expect(parseSettings(JSON.stringify({points: sweep.points}), 'sweep.json')).toEqual(
    JSON.parse(JSON.stringify(settings)),
  );
  expect(parseSettings('{"points": [[0.5, null, 0.9]]}', 'x')).toEqual([
    {encoder: 'similarity', policy: 'similarity', image: 0.5, text: null, decoder: 0.9},
  ]);
  expect(parseSettings('{"points": [[0.5, null]]}', 'x')).toEqual([
    {encoder: 'similarity', policy: 'similarity', image: 0.5, decoder: null},
  ]);
  for (const bad of [
    '{',
    '[]',
    '{"points": []}',
    '{"points": [[1]]}',
    '{"points": [[1, 2, 3, 4]]}',
    '{"points": [{"policy": "luck", "image": 1, "text": 1, "decoder": 1}]}',
  ])
    expect(() => parseSettings(bad, 'x')).toThrow(UsageError);
});
