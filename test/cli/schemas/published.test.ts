import fs from 'node:fs';
import path from 'node:path';
import {z} from 'zod';
import {publishedSchemas} from '../../../src/cli/schemas/published.js';
import {parsePlan} from '../../../src/exit/plan/schema.js';
import {parseConfig} from '../../../src/models/families.js';
import {withoutSchemaName} from '../../../src/runtime/schema-name.js';

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
