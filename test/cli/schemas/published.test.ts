import fs from 'node:fs';
import path from 'node:path';
import {z} from 'zod';
import {publishedSchemas} from '../../../src/cli/schemas/published.js';
import {parsePlan} from '../../../src/exit/plan/schema.js';
import {parseConfig} from '../../../src/models/families.js';
import {withoutSchemaName} from '../../../src/runtime/schema-name.js';
import {sampleSweep} from '../../support/data/evaluation-sample.js';
import {stubRun} from '../../support/data/stub-evaluation.js';
import {SYNTHETIC_HEADER, syntheticRows} from '../../support/data/synthetic-recording.js';

const schemas = publishedSchemas();
const shipped = (model: string, file: string): object =>
  JSON.parse(fs.readFileSync(path.join('weights', model, file), 'utf8')) as object;
/** Whether a published JSON Schema takes a value. */
const takes = (name: string, value: unknown): boolean =>
  z.fromJSONSchema(schemas[name] as z.core.JSONSchema.JSONSchema).safeParse(value).success;

test('publishedSchemas: each is a schema of JSON Schema 2020-12 with the name that files give', () => {
  for (const [name, schema] of Object.entries(schemas))
    expect(schema).toMatchObject({
      $id: `mue-tfjs/schemas/${name}.json`,
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      title: expect.any(String),
    });
});

test.each([
  ['config', 'scenes-mue', 'config.json'],
  ['config', 'scenes-coca', 'config.json'],
  ['exit-plans', 'scenes-mue', 'exit.json'],
  ['exit-plans', 'scenes-coca', 'exit.json'],
])(
  'the schema %s takes that file of %s, with and without its name, and refuses one with a field more',
  (name, model, file) => {
    const json = shipped(model, file);
    expect(takes(name, json)).toBe(true);
    expect(takes(name, {$schema: `mue-tfjs/schemas/${name}.json`, ...json})).toBe(true);
    expect(takes(name, {...json, colour: 'red'})).toBe(false);
  },
);

test('readers of plans and configurations take the name of the format off', () => {
  const plan = {version: 1, mode: 'corrected', skippedKv: 'project', stacks: {}};
  expect(parsePlan(JSON.stringify({$schema: 'mue-tfjs/schemas/exit-plan.json', ...plan}), 'p', 'caption')).toEqual(
    plan,
  );
  const config = shipped('scenes-mue', 'config.json');
  expect(parseConfig({$schema: 'x', ...config}, 'c').config).toEqual(withoutSchemaName(config));
});

test.each([
  ['answer', {image: 'a.png', error: {code: 'image-empty', message: 'empty'}}, true],
  ['answer', [{image: 'a.png', error: {code: 'image-empty', message: 'empty'}}], true],
  ['answer', {image: 'a.png', text: 'a dog'}, false],
  ['exit-plan', {version: 1, stacks: {decoder: {policy: 'similarity', threshold: null}}}, true],
  ['exit-plan', {version: 1, stacks: {decoder: {policy: 'similarity', threshold: 'high'}}}, false],
  ['exit-plan', {version: 2, stacks: {}}, false],
])('the schema %s on %j: %s', (name, value, valid) => {
  expect(takes(name, value)).toBe(valid);
});

test('the schemas of runs, sweeps and recordings take what is written, and refuse other lines', () => {
  const [row] = syntheticRows(1);
  expect(takes('run', JSON.parse(JSON.stringify(stubRun('caption'))))).toBe(true);
  expect(takes('run', {...stubRun('caption'), colour: 'red'})).toBe(false);
  expect(takes('sweep', sampleSweep())).toBe(true);
  expect(takes('sweep', {points: [{accuracy: 'high'}]})).toBe(false);
  expect([SYNTHETIC_HEADER, row].map((line) => takes('recording', line))).toEqual([true, true]);
  expect(takes('recording', {...SYNTHETIC_HEADER, version: 2})).toBe(false);
  const header = {...SYNTHETIC_HEADER, format: 'mue-caption-recording', task: 'caption', generation: {}};
  expect(takes('caption-recording', header)).toBe(true);
  expect(takes('caption-recording', SYNTHETIC_HEADER)).toBe(false);
});
