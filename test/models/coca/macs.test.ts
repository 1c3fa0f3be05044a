import {CocaMacs} from '../../../src/models/coca/macs.js';
import {importConfig} from '../../../src/models/coca/import/config.js';
import {partOf, sourcesOf} from '../../../src/models/coca/import/names.js';
import {cocaWeights} from '../../../src/models/coca/model.js';
import {COCA_ARCHITECTURES} from '../../../src/models/coca/config.js';
import {parameterCount} from '../../../src/models/weights.js';

// Sizes and costs of docs/reference/coca.md 1 and 9.
const T = 76;
const M = 1e6;

test.each([
  [
    'coca_ViT-B-32',
    253_560_065,
    629,
    {
      patches: 115.6,
      vision: 357.7,
      pooler: 186.6,
      tower: 4595,
      text: 248.3,
      self: 245.0,
      cross: 219.1,
      memory: 133.7,
      head: 25.3,
      textStep: 3.16,
      step: 6.05,
      fill: 0.52,
    },
  ],
  [
    'coca_ViT-L-14',
    638_450_177,
    773,
    {
      patches: 154.1,
      vision: 3369,
      pooler: 807.3,
      tower: 81_820,
      text: 554.1,
      self: 546.8,
      cross: 478.0,
      memory: 300.8,
      head: 37.95,
      textStep: 7.11,
      step: 13.4,
      fill: 1.18,
    },
  ],
])('%s has the published parameters and costs', (name, parameters, tensors, want) => {
  const config = importConfig(COCA_ARCHITECTURES[name]);
  const weights = cocaWeights(config);
  expect(parameterCount(weights)).toBe(parameters);
  const shapes = new Map(weights.map(({name, shape}) => [name, shape]));
  expect(new Set(weights.map((weight) => sourcesOf(weight, shapes)[0]!.name)).size).toBe(tensors);
  const cost = new CocaMacs(config);
  const pooler = cost.pooler() + cost.poolerQueries();
  const got: Record<keyof typeof want, number> = {
    patches: cost.patches(),
    vision: cost.visionLayer(),
    pooler,
    tower: cost.patches() + config.vision.layers * cost.visionLayer() + pooler,
    text: cost.textLayer(T + 1, T + 1),
    self: cost.selfBlock(T, T),
    cross: cost.crossBlock(T),
    memory: cost.crossAttentionKv(),
    head: cost.logits(),
    textStep: cost.textLayer(1, 20),
    step: cost.multimodalLayer(1, 20),
    fill: cost.projectedKv(),
  };
  // The table gives four digits, small ones three.
  for (const [part, millions] of Object.entries(want))
    expect(Math.abs(got[part as keyof typeof want] / M / millions - 1)).toBeLessThan(millions < 30 ? 0.01 : 0.001);
});

test('coca_base reads the patches themselves', () => {
  const config = importConfig(COCA_ARCHITECTURES['coca_base']);
  expect(config.vision.pooler).toBeNull();
  expect(parameterCount(cocaWeights(config)) / M).toBeCloseTo(440.37, 1);
  expect(new CocaMacs(config).pooler()).toBe(0);
});

test('every weight belongs to a part', () => {
  const parts = new Map<string, number>();
  for (const weight of cocaWeights(importConfig(COCA_ARCHITECTURES['coca_ViT-B-32'])))
    parts.set(partOf(weight.name), (parts.get(partOf(weight.name)) ?? 0) + parameterCount([weight]));
  const millions = (...names: string[]): number => names.reduce((sum, name) => sum + parts.get(name)!, 0) / M;
  expect(millions('image tower', 'attentional pooler')).toBeCloseTo(89.16, 1);
  expect(millions('unimodal text', 'token embedding')).toBeCloseTo(63.43, 1);
  expect(millions('multimodal text', 'word head')).toBeCloseTo(100.96, 1);
});
