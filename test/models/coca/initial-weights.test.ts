import {cocaConfigSchema} from '../../../src/models/coca/config.js';
import {initialCocaWeights} from '../../../src/models/coca/initial-weights.js';
import fs from 'node:fs';

const config = cocaConfigSchema.parse(
  JSON.parse(fs.readFileSync('weights/scenes-coca/config.json', 'utf8'), (key, value: unknown) =>
    key === '$schema' ? undefined : value,
  ),
);

const deviation = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);

test('initialCocaWeights: the deviations and bounds of open_clip, the same for a seed', () => {
  const weights = initialCocaWeights(config, 1);
  const of = (name: string): Float32Array => weights.get(name)!;
  // 192 wide image tower, 128 wide text towers of 4 layers each (docs/reference/coca.md 6).
  for (const [name, wanted] of [
    ['text.token_embedding.weight', 0.02],
    ['text.positional_embedding', 0.01],
    ['text.text_projection', 128 ** -0.5],
    ['text_decoder.text_projection', 128 ** -0.5],
    ['text.transformer.resblocks.0.attn.q_proj.weight', 128 ** -0.5],
    ['text.transformer.resblocks.0.mlp.c_fc.weight', 256 ** -0.5],
    ['text_decoder.cross_attn.1.mlp.c_proj.weight', (128 * 8) ** -0.5],
    ['visual.positional_embedding', 192 ** -0.5],
    ['visual.proj', 128 ** -0.5],
    ['visual.attn_pool.query', 1],
  ] as const)
    expect([name, Math.abs(deviation(of(name)) / wanted - 1) < 0.05]).toEqual([name, true]);
  for (const [name, bound] of [
    ['visual.transformer.resblocks.0.attn.q_proj.weight', Math.sqrt(6 / (4 * 192))],
    ['visual.attn_pool.attn.k_proj.weight', Math.sqrt(6 / (192 + 128))],
    ['visual.transformer.resblocks.5.mlp.c_proj.weight', 768 ** -0.5],
    ['visual.conv1.weight', 768 ** -0.5],
    ['text.transformer.resblocks.0.mlp.c_fc.bias', 128 ** -0.5],
  ] as const) {
    const most = of(name).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    expect([name, most <= bound + 1e-7 && most > 0.95 * bound]).toEqual([name, true]);
  }
  expect([...new Set(of('visual.ln_post.weight'))]).toEqual([1]);
  expect([...new Set(of('text.transformer.resblocks.0.attn.q_proj.bias'))]).toEqual([0]);
  expect(of('logit_scale')[0]).toBeCloseTo(Math.log(1 / 0.07), 6);
  const again = initialCocaWeights(config, 1);
  expect(of('visual.proj')).toEqual(again.get('visual.proj'));
  expect(of('visual.proj')).not.toEqual(initialCocaWeights(config, 2).get('visual.proj'));
});
