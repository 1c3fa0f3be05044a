import {inspectionSchema} from '../../../src/cli/schemas/models.js';
import {runMue} from '../../support/cli/run-mue.js';

test('mue inspect: tells configuration and parameters of a model, its tensors unless told not to', async () => {
  const {code, stdout} = await runMue(['inspect', '--no-tensors']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/parameters +17,069,464/);
  expect(stdout).not.toContain('encoder.layers.0.fc1.weight');
  expect((await runMue(['inspect'])).stdout).toContain('encoder.layers.0.fc1.weight');
  const {stdout: json} = await runMue(['inspect', '--json']);
  expect(inspectionSchema.parse(JSON.parse(json))).toMatchObject({
    kind: 'model',
    problem: null,
    parameters: 17_069_464,
    config: {train_mue: true},
  });
});
