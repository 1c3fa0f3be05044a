import fs from 'node:fs';
import path from 'node:path';
import type {ExitPlan} from '../../src/exit/plan/schema.js';
import type {StackName} from '../../src/exit/policy.js';
import {loadModel} from '../../src/node/model/load-model.js';
import {CocaPipeline} from '../../src/tasks/coca-processor.js';
import {onBackends} from '../support/backends.js';
import {closeArrays} from '../support/golden/close-to.js';
import {goldenIn} from '../support/golden/golden.js';

// The shipped model against open_clip's own answers, from JPEG files and texts to captions and embeddings.

const root = path.join(import.meta.dirname, '..');
const EMBEDDINGS = 1e-6;

interface Caption {
  readonly text: string;
  readonly tokens: readonly number[];
}
interface Reference {
  readonly logitScale: number;
  readonly pictures: readonly {
    readonly id: string;
    readonly texts: readonly string[];
    readonly greedy: Caption;
    readonly beam: Caption;
    readonly fixedDepth: readonly (Record<'vision' | 'text' | 'multimodal', number> & {readonly caption: string})[];
  }[];
}

const reference = goldenIn(path.join(root, 'fixtures', 'scenes-coca'));
const {pictures, logitScale} = reference.json('reference.json') as Reference;
const arrays = reference.arrays('reference.safetensors');

function fixedDepths(depths: Partial<Record<StackName, number>>): ExitPlan {
  const stacks = Object.entries(depths).map(([stack, layers]) => [stack, {policy: 'fixed', layers}]);
  return {version: 1, mode: 'corrected', skippedKv: 'project', stacks: Object.fromEntries(stacks)};
}

/** A row of an array [L, R, E] or [R, E]. */
function row(name: string, r: number, depth = 1): Float32Array {
  const {data, shape} = arrays[name]!;
  const [rows, size] = shape.slice(-2) as [number, number];
  const at = ((depth - 1) * rows + r) * size;
  return (data as Float32Array).slice(at, at + size);
}

onBackends("scenes-coca equals open_clip's", (device) => {
  // Plain JavaScript takes seconds a picture.
  const some = pictures.slice(0, device === 'cpu' ? 1 : undefined);
  const bytes = (id: string): Uint8Array => fs.readFileSync(path.join(root, '../data/scenes/images', `${id}.jpg`));
  let model: CocaPipeline;
  beforeAll(async () => {
    const loaded = await loadModel('scenes-coca', {device});
    if (!(loaded instanceof CocaPipeline)) throw new Error('scenes-coca is no CoCa');
    model = loaded;
  });
  afterAll(() => model[Symbol.dispose]());

  test.each(some.map(({id, ...of}, p) => [id, p, of] as const))(
    'captions token for token, and embeddings, of %s',
    async (id, p, {greedy, beam}) => {
      const picture = bytes(id);
      const one = await model.caption(picture, {exit: 'never', num_beams: 1});
      expect({text: one.text, tokens: one.tokens}).toEqual(greedy);
      const two = await model.caption(picture, {exit: 'never'});
      expect({text: two.text, tokens: two.tokens}).toEqual(beam);
      const {vector} = await model.embedPicture(picture, {exit: 'never'});
      closeArrays(vector, row('image_features', p), EMBEDDINGS);
    },
  );

  test('embeddings of texts at every depth', async () => {
    const texts = pictures.flatMap((picture) => picture.texts);
    for (const layers of [1, 2, 3, 4]) {
      const embedded = await model.embedTexts(texts, {exit: fixedDepths({text: layers})});
      for (const [t, {vector}] of embedded.entries())
        closeArrays(vector, row('text_features_by_depth', t, layers), EMBEDDINGS);
    }
    for (const [t, {vector}] of (await model.embedTexts(texts, {exit: 'never'})).entries())
      closeArrays(vector, row('text_features', t), EMBEDDINGS);
    expect(Math.abs(model.model.logitScale - logitScale)).toBeLessThan(1e-4);
  });

  test('embeddings of a picture, and captions, at fixed depths', async () => {
    const [{id, fixedDepth}] = some as [(typeof some)[0]];
    for (const layers of [1, 3, 5]) {
      const {vector} = await model.embedPicture(bytes(id), {exit: fixedDepths({vision: layers})});
      closeArrays(vector, row('image_features_by_depth', 0, layers), EMBEDDINGS);
    }
    for (const {caption, ...depths} of fixedDepth) {
      const {text} = await model.caption(bytes(id), {exit: fixedDepths(depths), num_beams: 1});
      expect({...depths, text}).toEqual({...depths, text: caption});
    }
  });
});
