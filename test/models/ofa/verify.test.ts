import {draftPass} from '../../../src/exit/policies/draft.js';
import {never} from '../../../src/exit/policy.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';
import {goldenPixels} from '../../support/data/pixels.js';
import {onBackends} from '../../support/backends.js';
import {closeArrays, LOGITS, STATES} from '../../support/golden/close-to.js';
import {golden} from '../../support/golden/golden.js';
import {valueWithoutLeaks} from '../../support/leaks.js';
import {useMicroModels} from '../../support/models/use-micro-models.js';

const pictures = golden('snli_ve_inputs.safetensors');
const PROMPT = [0, 99, 315, 16, 5, 271, 116, 2];
const TOKENS = [0, 99, 1, 16, 5, 271];

onBackends('verify', () => {
  const {models} = useMicroModels();

  test.each([1, 2, 3])('drafts of %d layers, verified and cut back, leave the caches of full depth', async (layers) => {
    const model = models.mue;
    const run = async (): Promise<void> => {
      using scope = new TensorScope();
      const pixels = scope.hold(goldenPixels(pictures['caption_batch1_0.rgb_u8']!));
      const encoded = scope.hold(await model.encode({pixels, prompts: [PROMPT]}, never));
      const full = scope.hold(model.startDecoding(encoded, 1, 12, 'project'));
      const want: Float32Array[] = [];
      for (const token of TOKENS) {
        const {logits} = await full.step([token], never);
        want.push((await scope.hold(logits).data()) as Float32Array);
      }
      const decoding = scope.hold(model.startDecoding(encoded, 1, 12, 'just-in-time'));
      const pass = draftPass('decoder', {layers, threshold: 0, draftLength: 9});
      const draft = async (tokens: readonly number[]): Promise<Float32Array> => {
        for (const token of tokens) scope.hold((await decoding.step([token], pass)).logits);
        const {logits, traces} = await decoding.verify();
        expect(traces.map(([trace]) => trace)).toMatchObject(tokens.map(() => ({exitLayer: 4, exited: false})));
        expect(traces.map(([trace]) => trace!.scores[layers - 1])).not.toContain(null);
        return (await scope.hold(logits).data()) as Float32Array;
      };
      // The third and fourth are not what follows, and are taken back.
      const words = model.vocabularySize;
      const first = await draft([TOKENS[0]!, TOKENS[1]!, 7, 8]);
      decoding.cut(2);
      expect(decoding.caches.map(({length}) => length)).toEqual([2, 2, 2, 2]);
      const second = await draft(TOKENS.slice(2));
      const verified = [first.subarray(0, 2 * words), second];
      closeArrays(
        Float32Array.from(verified.flatMap((part) => [...part])),
        Float32Array.from(want.flatMap((row) => [...row])),
        LOGITS,
      );
      for (const [layer, {held}] of decoding.caches.entries())
        for (const part of ['keys', 'values'] as const)
          closeArrays(
            (await held![part].data()) as Float32Array,
            (await full.caches[layer]!.held![part].data()) as Float32Array,
            STATES,
          );
      expect(decoding.macs[0]!.full).toBe(full.macs[0]!.full);
      expect(decoding.macs[0]!.run).toBeGreaterThan(full.macs[0]!.run);
    };
    await run();
    await valueWithoutLeaks(run);
  });
});
