import {PARTS, watchModel} from '../../../bench/cases/watch-model.js';
import {never} from '../../../src/exit/policy.js';
import {selectBackend} from '../../../src/node/backends/select.js';
import {microModel} from '../../support/models/micro-model.js';
import {microMue} from '../../support/models/micro-mue.js';

/** Parts that the bench watches outside of the model. */
const OUTSIDE = ['decode picture', 'resize, normalise', 'deciding', 'rest (search, glue)'];

test('watchModel: a caption and an entailment run every part of the model', async () => {
  await selectBackend('wasm');
  using mue = microMue(await microModel('mue'));
  const watch = watchModel(mue.model, 'wall');
  const picture = {width: 64, height: 64, data: new Uint8Array(64 * 64 * 3)};
  await mue.caption(picture, {exit: {policy: never}, num_beams: 2, max_new_tokens: 3});
  await mue.entail(picture, 'a dog', {exit: {policy: never}});
  const {ms, counts} = watch.take();
  expect(Object.keys(ms).sort()).toEqual(PARTS.filter((part) => !OUTSIDE.includes(part)).sort());
  expect(counts['ResNet']).toBe(2);
});
