import * as tf from '@tensorflow/tfjs';
import {cocaLosses} from '../../src/models/coca/loss.js';
import type {CocaModel} from '../../src/models/coca/model.js';
import {onBackends} from '../support/backends.js';
import {closeArrays} from '../support/golden/close-to.js';
import {idsOf, pixelsOf} from '../support/models/coca-inputs.js';
import {cocaModel} from '../support/models/coca-model.js';
import {cocaArrays, cocaJson, describeCoca} from '../support/golden/golden-coca.js';

// Tolerances of the goldens' README.
const LOSSES = 2e-5;
const GRADIENTS = {absolute: 1e-4, relative: 1e-3};

interface Goldens {
  readonly losses: {readonly contrastive: number; readonly caption_unweighted: number; readonly total: number};
  readonly layer_losses: readonly number[];
  readonly mue_loss_sum_over_layers: number;
  readonly gradient_norms: Readonly<Record<string, number>>;
}

describeCoca(
  'losses of a batch',
  ['micro/goldens.safetensors', 'micro/goldens.json', 'micro/open_clip_model.safetensors'],
  () => {
    const info = cocaJson<Goldens>('micro/goldens.json');
    const arrays = cocaArrays('micro/goldens.safetensors');
    const texts = idsOf(arrays['text']!);

    onBackends('losses', () => {
      test('caption, contrastive, total, every layer', async () => {
        using model = await cocaModel('micro');
        const pixels = pixelsOf(arrays['pixels']!);
        const {caption, contrastive, total, layers} = cocaLosses(model.module, {pixels, texts});
        const values = await Promise.all(
          [caption, contrastive, total, ...layers].map(async (x) => (await x.data())[0]!),
        );
        tf.dispose([pixels, contrastive, total, ...layers]);
        const {losses, layer_losses} = info;
        closeArrays(values, [losses.caption_unweighted, losses.contrastive, losses.total, ...layer_losses], LOSSES);
        expect(Math.abs(values.slice(3).reduce((a, b) => a + b, 0) - info.mue_loss_sum_over_layers)).toBeLessThan(
          4 * LOSSES,
        );
      });
    });

    onBackends('gradients', () => {
      let model: CocaModel;
      let gradients: ReadonlyMap<string, Float32Array>;
      beforeAll(async () => {
        model = await cocaModel('micro');
        gradients = await gradientsOf(model);
      });
      afterAll(() => {
        model[Symbol.dispose]();
      });

      const close = (got: ArrayLike<number>, want: ArrayLike<number>): void => {
        expect(got.length).toBe(want.length);
        for (let i = 0; i < want.length; i++)
          expect(Math.abs(got[i]! - want[i]!)).toBeLessThanOrEqual(
            GRADIENTS.absolute + GRADIENTS.relative * Math.abs(want[i]!),
          );
      };

      test.each(Object.keys(arrays).filter((key) => key.startsWith('grad.')))('%s', (key) => {
        close(fused(gradients, key.slice('grad.'.length)), arrays[key]!.data as Float32Array);
      });

      test('the norm of every gradient', () => {
        expect(Object.keys(info.gradient_norms).length).toBeGreaterThan(0);
        for (const [name, norm] of Object.entries(info.gradient_norms)) {
          const got = Math.sqrt(fused(gradients, name).reduce((sum, g) => sum + g * g, 0));
          try {
            close([got], [norm]);
          } catch {
            throw new Error(`${name}: ${got} against ${norm}`);
          }
        }
      });
    });

    async function gradientsOf(model: CocaModel): Promise<ReadonlyMap<string, Float32Array>> {
      const pixels = pixelsOf(arrays['pixels']!);
      const {value, grads} = tf.variableGrads(() => cocaLosses(model.module, {pixels, texts}).total);
      tf.dispose([value, pixels]);
      const result = new Map<string, Float32Array>();
      for (const [name, gradient] of Object.entries(grads)) {
        // tfjs adds a number to names that it has met before.
        result.set(name.replace(/_\d+$/, ''), Float32Array.from(await gradient.data()));
        gradient.dispose();
      }
      return result;
    }
  },
);

/**
 * A gradient under the checkpoint's name: thirds joined. Goldens of whole gradients are of biases and of what keeps its
 * layout; of the others the norm is compared, which a transposition leaves alone.
 */
function fused(gradients: ReadonlyMap<string, Float32Array>, name: string): Float32Array {
  const one = gradients.get(name);
  if (one) return one;
  const match = /^(.*)\.(in_proj_weight|in_proj_bias|([qkv])_proj_weight)$/.exec(name);
  const kind = match?.[2]?.endsWith('bias') ? 'bias' : 'weight';
  const letters = match?.[3] ? [match[3]] : ['q', 'k', 'v'];
  return Float32Array.from(
    letters.flatMap((letter) => {
      const part = gradients.get(`${match?.[1]}.${letter}_proj.${kind}`);
      if (!part)
        throw new Error(`there is no gradient of ${name}; there are ${[...gradients.keys()].slice(0, 5).join(', ')} …`);
      return [...part];
    }),
  );
}
