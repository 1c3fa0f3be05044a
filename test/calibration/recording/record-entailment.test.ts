import {combinations, recordEntailment} from '../../../src/calibration/recording/record-entailment.js';
import type {RgbImage} from '../../../src/data/image.js';
import {fixed} from '../../../src/exit/policies/static.js';
import {stackPolicies} from '../../../src/exit/policy.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';
import {FIRST_DEVICE, onBackends} from '../../support/backends.js';
import {closeArrays, LOGITS} from '../../support/golden/close-to.js';
import {valueWithoutLeaks} from '../../support/leaks.js';
import {useMicroModels} from '../../support/models/use-micro-models.js';

const picture: RgbImage = {width: 20, height: 30, data: Uint8Array.from({length: 1800}, (_, i) => (i * 37) % 256)};
const [SOURCE, TARGET, ANSWERS] = [
  [0, 99, 315, 2],
  [0, 99, 315],
  [117, 42, 84],
] as const;

onBackends(
  'recorded entailment',
  () => {
    const {mues} = useMicroModels();

    test('recordEntailment: a joint encoder and a decoder, at every pair of depths as models run that leave there', async () => {
      const {model} = mues.plain;
      using scope = new TensorScope();
      const pixels = scope.hold(await mues.plain.pixels(picture));
      const record = await valueWithoutLeaks(async () => {
        using depths = await model.imageStates(pixels);
        return await recordEntailment(model, depths, SOURCE, TARGET, ANSWERS);
      });
      expect(record.encoder.map(({length}) => length)).toEqual([3]);
      const cells = combinations([3, 4]);
      expect([record.similarity.length, record.logits.length]).toEqual([cells.length, 3 * cells.length]);
      for (const [cell, [encoder, decoder]] of cells.entries()) {
        const policy = stackPolicies({encoder: fixed({layers: encoder!}), decoder: fixed({layers: decoder!})});
        const encoded = scope.hold(await model.encode({pixels, prompts: [SOURCE]}, policy));
        const at = [{row: 0, position: TARGET.length - 1}];
        const {logits, runs} = await model.score(encoded, {targets: [TARGET], at, ids: ANSWERS}, policy);
        const direct = (await scope.hold(logits).data()) as Float32Array;
        closeArrays(record.logits.subarray(3 * cell, 3 * cell + 3), direct, LOGITS);
        expect(record.macs[cell]).toBe(encoded.runs[0]!.macs.run + runs[0]!.macs.run);
      }
    });
  },
  FIRST_DEVICE,
);
