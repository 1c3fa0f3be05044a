import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {createPolicy} from '../../src/exit/plan/policies.js';
import {parsePlan} from '../../src/exit/plan/schema.js';
import {parseConfig} from '../../src/models/families.js';
import {verifyFolder, weightsHash} from '../../src/node/model/manifest.js';
import type {Random} from '../../src/runtime/random.js';
import type {Target} from './campaign.js';
import {mutateBytes, mutateJson, pick} from './mutate.js';

const SHIPPED = ['scenes-mue', 'scenes-coca'].map((model) =>
  path.join(import.meta.dirname, '..', '..', 'weights', model),
);
const json = (name: string): unknown[] =>
  SHIPPED.map((folder) => JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8')) as unknown);
const PLANS: readonly unknown[] = [
  ...json('exit.json'),
  {
    version: 1,
    stacks: {decoder: {policy: 'random', histogram: [1, 2, 3], seed: 3}, 'encoder.image': {policy: 'fixed', layers: 3}},
  },
  {version: 1, mode: 'corrected', skippedKv: 'gap', stacks: {'encoder.text': {policy: 'patience', patience: 2}}},
  {version: 1, stacks: {decoder: {policy: 'softmax-max', threshold: 0.9, schedule: 'calm', tau: 4, beta: 0.2}}},
];
const CONFIGS = json('config.json');
const MANIFESTS = json('manifest.json');
const WORDS = ['null', '1e309', '"__proto__":', '{', '}', '[', ']', '"', '\\', '\0', '\xef\xbb\xbf', '-'];
const DEPTHS = {'encoder.image': 6, 'encoder.text': 6, decoder: 6};

/** Exit plans, configurations and manifests of models. */
export const plans: Target = {
  name: 'plans and configurations',
  seconds: 2,
  bytes: 3e8,
  async run(random) {
    const kind = random.below(3);
    if (kind === 0) {
      createPolicy(parsePlan(changed(PLANS, random), 'plan.json', pick(['caption', 'vqa'], random)), DEPTHS);
      return 'plan';
    }
    if (kind === 1) {
      const {family, config} = parseConfig(
        JSON.parse(JSON.stringify(mutateJson(pick(CONFIGS, random), random))),
        'config.json',
      );
      family.describe(config);
      family.weights(config);
      return 'configuration';
    }
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-fuzz-'));
    try {
      fs.writeFileSync(path.join(folder, 'manifest.json'), changed(MANIFESTS, random));
      weightsHash(folder);
      await verifyFolder(folder);
      return 'manifest';
    } finally {
      fs.rmSync(folder, {recursive: true});
    }
  },
};

/** The text of one of the values, changed as JSON or as bytes. */
function changed(values: readonly unknown[], random: Random): string {
  const value = pick(values, random);
  if (random.below(2) === 0) return JSON.stringify(mutateJson(value, random));
  return mutateBytes(Buffer.from(JSON.stringify(value)), WORDS, random).toString();
}
