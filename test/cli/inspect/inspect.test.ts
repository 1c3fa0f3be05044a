import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
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

test('mue export: writes a folder and reports it, and refuses what has no layout', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-export-'));
  try {
    const output = path.join(root, 'coca');
    const {code, stdout, stderr} = await runMue(['export', 'scenes-coca', output, '--to', 'safetensors', '--json']);
    expect(code).toBe(0);
    expect(stderr).toContain('writing open_clip_model.safetensors (253 tensors)');
    const report = JSON.parse(stdout) as {files: {name: string}[]; notes: string[]};
    expect(report.files.map(({name}) => name).sort()).toEqual(fs.readdirSync(output).sort());
    expect(report.notes).toEqual([]);
    const refused = await runMue(['export', 'scenes-mue', path.join(root, 'hf'), '--to', 'hf']);
    expect(refused).toMatchObject({code: 3, stderr: expect.stringContaining('error [cannot-export]')});
    expect(await runMue(['export', 'scenes-mue', path.join(root, 'x')])).toMatchObject({code: 2});
    expect(fs.readdirSync(root)).toEqual(['coca']);
  } finally {
    fs.rmSync(root, {recursive: true});
  }
});
