import {decoderHead} from '../../../src/calibration/replay/decoder-head.js';
import {decoderMeasures} from '../../../src/calibration/replay/decoder-scores.js';
import {settingPlan} from '../../../src/calibration/policy-setting.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {settingGrid, staticSettings} from '../../../src/calibration/settings/grid.js';
import {cellLayers} from '../../../src/calibration/stacks.js';
import {createPolicy} from '../../../src/exit/plan/policies.js';
import {exitPlanSchema} from '../../../src/exit/plan/schema.js';
import {syntheticRecording} from '../../support/data/synthetic-recording.js';

const recording = syntheticRecording(30);
const replay = new PolicyReplay(recording);
const [I, T, L] = [3, 2, 4];
const G = I * T * L;

test.each(['similarity', 'softmax-margin', 'softmax-max', 'entropy', 'linear-head'] as const)(
  'settingGrid: of %s goes from leaving at once to never, and thresholds lie between scores',
  (policy) => {
    const settings = settingGrid(replay, {policies: [policy], count: 5});
    const {layers} = replay.sweep(settings);
    expect(Math.min(...layers.decoder!)).toBe(1);
    expect(Math.max(...layers.decoder!)).toBe(L);
    const {entropy, similarity, margin} = replay.measures;
    const seen = new Set(policy === 'entropy' ? entropy : policy === 'similarity' ? similarity : margin);
    for (const {decoder} of settings)
      expect(decoder === null || !seen.has(Math.fround(decoder)) || !seen.has(decoder)).toBe(true);
  },
);

test("settingGrid: every setting is a plan that the plan reader takes, for the recording's model", () => {
  const head = decoderHead(replay.measures, [0, 1, 2, 3], 0);
  for (const setting of settingGrid(replay, {count: 3})) {
    const plan = settingPlan(setting, recording.header, head);
    const parsed = exitPlanSchema.parse(JSON.parse(JSON.stringify(plan)));
    expect(parsed.model).toBe(recording.header.model);
    expect(createPolicy(parsed, {'encoder.image': I, 'encoder.text': T, decoder: L}).name).toBeDefined();
  }
});

test('staticSettings: all combinations of depths, in the order of the recording', () => {
  const settings = staticSettings(replay);
  expect(settings.map(({image, text, decoder}) => [image, text, decoder])).toEqual(
    Array.from({length: G}, (_, cell) => Object.values(cellLayers(replay.stacks, cell)).reverse()),
  );
  const {accuracy} = replay.sweep(settings);
  const answer = decoderMeasures(recording).answer;
  accuracy.forEach((value, cell) => {
    const right = Array.from({length: 30}, (_, i) => Number(answer[i * G + cell] === recording.labels[i]));
    expect(value).toBeCloseTo(right.reduce((a, b) => a + b) / 30, 12);
  });
});
