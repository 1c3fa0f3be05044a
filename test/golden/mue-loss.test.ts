import * as tf from '@tensorflow/tfjs';
import {never} from '../../src/exit/policy.js';
import {taskLoss, taskLosses, type LossBatch, type LossOptions} from '../../src/models/ofa/loss.js';
import type {OfaModel} from '../../src/models/ofa/model.js';
import {trainingStates} from '../../src/models/ofa/training-pass.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {onBackends} from '../support/backends.js';
import {golden} from '../support/golden/golden.js';
import {gradientsOf, norm, type Parameter, relativeError} from '../support/golden/gradients.js';
import {unpadded} from '../support/models/padding.js';
import {goldenPixels} from '../support/data/pixels.js';
import {microModel} from '../support/models/micro-model.js';
import {useMicroModels} from '../support/models/use-micro-models.js';

interface LayerSums {
  readonly loss: number;
  readonly nll_loss: number;
  readonly ntokens: number;
}
interface Case {
  readonly name: string;
  readonly model: 'plain' | 'mue';
  readonly task: 'caption' | 'snli_ve';
  readonly mode: 'eval' | 'train';
  readonly label_smoothing: number;
  readonly drop_worst_ratio: number;
  readonly loss: number;
  readonly nll_loss: number;
  readonly sample_size: number;
  readonly per_layer: readonly LayerSums[];
  /** Null where the loss does not depend on the parameter. */
  readonly grad_norms: Readonly<Record<string, number | null>>;
  readonly global_grad_norm: number;
}

const {cases} = golden<{cases: readonly Case[]}>('mue_loss.json');
const arrays = golden('mue_loss.safetensors');
const {answer_ids} = golden<{answer_ids: Record<string, number[]>}>('snli_ve.json');
const EOS = 2;
/** Ids of the packed flags: " no", " yes", " maybe", end. */
const PACKED = [...['no', 'yes', 'maybe'].map((word) => answer_ids[word]![0]!), EOS];

function rows(name: string): number[][] {
  const {data, shape} = arrays[name]!;
  const length = shape[1]!;
  return Array.from({length: shape[0]!}, (_, r) => Array.from({length}, (_, t) => Number(data[r * length + t])));
}

function batchOf(task: Case['task']): LossBatch {
  const inputs = rows(`${task}.prev_output_tokens`);
  const targets = rows(`${task}.target`);
  const packed = arrays[`${task}.constraint_masks_packed`];
  if (!packed) return {inputs, targets};
  const allowed = inputs.map((row, b) =>
    row.map((_, t) => PACKED.filter((_id, i) => packed.data[(b * row.length + t) * 4 + i])),
  );
  return {inputs, targets, allowed};
}

const scored = cases.filter(({mode}) => mode === 'eval');
const RESNET = 'encoder.embed_images.';
/**
 * A ReLU or max-pool of the stem decides on a tie: single elements of this gradient lie on either side of a kink (central
 * differences are between ours and the golden), so that norms and L2 are compared. Measured: norms by 0.13 %, L2 by 1.6 to
 * 2.0 %.
 */
const KINKED = 'encoder.embed_images.conv1.weight';
/** The tied matrix, under the name that comes first in files. */
const TIED: Readonly<Record<string, string>> = {
  'decoder.embed_tokens.weight': 'encoder.embed_tokens.weight',
  'decoder.output_projection.weight': 'encoder.embed_tokens.weight',
};
/** A norm is compared where it is at least this share of that of all gradients. */
const SMALL_NORM = 1e-5;

const optionsOf = (c: Case): LossOptions => ({
  labelSmoothing: c.label_smoothing,
  dropWorst: c.drop_worst_ratio,
  layers: c.model === 'mue' ? 'every' : 'last',
});

/** All parameters. */
function parametersOf({module}: OfaModel): Parameter[] {
  const variables = new Map(module.trainableWeights.map((weight) => [weight.originalName, weight.read()]));
  return module
    .storedWeights()
    .filter(({statistic}) => !statistic)
    .map((weight) => ({weight, variable: variables.get(weight.name) as tf.Variable}));
}

/** Holds a loss and its gradients to those of a case. @param compared whether a parameter's are there */
function compareGradients(
  c: Case,
  loss: number,
  gradients: ReadonlyMap<string, Float32Array>,
  compared: (name: string) => boolean = () => true,
): void {
  expect(Math.abs(loss - c.loss) / c.loss).toBeLessThan(1e-5);
  for (const [name, want] of Object.entries(c.grad_norms)) {
    if (!compared(name)) continue;
    const got = norm(gradients.get(TIED[name] ?? name) ?? []);
    if (want === null) expect([name, got]).toEqual([name, 0]);
    else if (want > SMALL_NORM * c.global_grad_norm && !(Math.abs(got - want) / want < (name === KINKED ? 2e-3 : 1e-3)))
      throw new Error(`${name}: a gradient of norm ${got}, wanted ${want}`);
  }
  for (const key of Object.keys(arrays).filter((name) => name.startsWith(`${c.name}.grad.`))) {
    const name = key.slice(`${c.name}.grad.`.length);
    if (!compared(name)) continue;
    // Of positions the golden has the first rows.
    const want = arrays[key]!.data as Float32Array;
    const got = gradients.get(name)!;
    if (name === KINKED) {
      expect(norm(want.map((value, i) => value - got[i]!)) / norm(want)).toBeLessThan(3e-2);
    } else {
      const tolerance = c.mode === 'train' ? 1e-3 : 1e-4;
      expect([name, relativeError(got, want) < tolerance]).toEqual([name, true]);
    }
  }
}

onBackends('losses', (device) => {
  const {models} = useMicroModels();

  test.each(scored.map((c) => [c.name, c] as const))('%s', async (_name, c) => {
    using scope = new TensorScope();
    const model = models[c.model];
    const pixels = scope.hold(goldenPixels(arrays[`${c.task}.rgb_u8`]!));
    const encoded = scope.hold(await model.encode({pixels, prompts: unpadded(rows(`${c.task}.src_tokens`))}, never));
    const {loss, nllLoss, sampleSize, perLayer} = await taskLoss(model, encoded, batchOf(c.task), optionsOf(c));
    expect(sampleSize).toBe(c.sample_size);
    expect(perLayer.map(({tokens}) => tokens)).toEqual(c.per_layer.map(({ntokens}) => ntokens));
    const got = [loss, nllLoss, ...perLayer.flatMap((layer) => [layer.loss, layer.nllLoss])];
    const want = [c.loss, c.nll_loss, ...c.per_layer.flatMap((layer) => [layer.loss, layer.nll_loss])];
    for (const [i, value] of want.entries()) expect(Math.abs(got[i]! - value) / value).toBeLessThan(1e-5);
  });

  test('a row of confidence 0 counts its tokens, but adds no loss', async () => {
    using scope = new TensorScope();
    const pixels = scope.hold(goldenPixels(arrays['snli_ve.rgb_u8']!));
    const encoded = scope.hold(await models.mue.encode({pixels, prompts: unpadded(rows('snli_ve.src_tokens'))}, never));
    const batch = batchOf('snli_ve');
    const losses = await Promise.all(
      [undefined, batch.targets.map((_, b) => Number(b === 0)), batch.targets.map((_, b) => Number(b > 0))].map(
        (confidences) => taskLoss(models.mue, encoded, {...batch, ...(confidences ? {confidences} : {})}),
      ),
    );
    const [whole, first, second] = losses.map(({loss}) => loss) as [number, number, number];
    expect(first + second).toBeCloseTo(whole, 4);
    expect(Math.min(first, second)).toBeGreaterThan(0);
    const tokens = batch.targets.flat().filter((id) => id !== 1).length;
    expect(losses.map(({sampleSize}) => sampleSize)).toEqual([tokens, tokens, tokens]);
    await expect(
      taskLoss(models.mue, encoded, {...batch, confidences: batch.targets.slice(1).map(() => 1)}),
    ).rejects.toMatchObject({
      code: 'loss-batch',
    });
    const padding = batch.targets.map((row) => row.map(() => 1));
    await expect(taskLoss(models.mue, encoded, {...batch, targets: padding})).rejects.toMatchObject({
      code: 'loss-empty',
    });
  });

  test('every state, on the tape: what a pass with exits that never leave gives', async () => {
    using scope = new TensorScope();
    const {targets} = batchOf('caption');
    const pixels = scope.hold(goldenPixels(arrays['caption.rgb_u8']!));
    for (const model of [models.plain, models.mue]) {
      const prompts = unpadded(rows('caption.src_tokens'));
      const features = scope.hold(model.encoder.resnet.forward(pixels));
      const whole = model.encoding.encodeWhole(features, prompts);
      for (const tensor of [whole.states, whole.positions, whole.mask]) if (tensor) scope.hold(tensor);
      const encoded = scope.hold(await model.encode({pixels, prompts}, never));
      expect(relativeError(await whole.states.data(), await encoded.states.data())).toBeLessThan(1e-6);
      expect([await whole.positions.data(), await whole.mask?.data()]).toEqual([
        await encoded.positions.data(),
        await encoded.mask?.data(),
      ]);
      const states = model.everyState(encoded, targets);
      expect(states).toHaveLength(4);
      const {x, passes} = await model.scoring.run(model.targetPass(encoded, targets[0]!.length, scope), targets, never);
      for (const tensor of [...states, x, ...passes.flatMap(({logits}) => logits ?? [])]) scope.hold(tensor);
      expect(relativeError(await states.at(-1)!.data(), await x.data())).toBeLessThan(1e-6);
    }
  });

  // Plain JavaScript takes five minutes a case for the ResNet's gradients.
  if (device === 'cpu') {
    console.info('mue_loss on cpu: not compared, since they take half an hour, are gradients of the ResNet');
    test.each(scored.map((c) => [c.name, c] as const))('%s, gradients behind the ResNet', (_name, c) => {
      using scope = new TensorScope();
      const model = models[c.model];
      const features = scope.hold(model.encoder.resnet.forward(scope.hold(goldenPixels(arrays[`${c.task}.rgb_u8`]!))));
      const behind = (name: string): boolean => !name.startsWith(RESNET);
      const batch = batchOf(c.task);
      const before = tf.memory().numTensors;
      const parameters = parametersOf(model).filter(({weight}) => behind(weight.name));
      const {loss, gradients} = gradientsOf(parameters, () => {
        const encoded = model.encoding.encodeWhole(features, unpadded(rows(`${c.task}.src_tokens`)));
        return taskLosses(model, model.everyState(encoded, batch.inputs), batch, optionsOf(c)).loss;
      });
      expect(tf.memory().numTensors).toBe(before);
      compareGradients(c, loss, gradients, behind);
    });
    return;
  }

  describe('gradients', () => {
    const unfolded = {} as Record<Case['model'], OfaModel>;
    beforeAll(async () => {
      for (const kind of ['plain', 'mue'] as const) unfolded[kind] = await microModel(kind, true);
    });
    afterAll(() => {
      for (const model of Object.values(unfolded)) model[Symbol.dispose]();
    });

    test.each(cases.map((c) => [c.name, c] as const))('%s, of every parameter', (_name, c) => {
      using scope = new TensorScope();
      const model = unfolded[c.model];
      const pixels = scope.hold(goldenPixels(arrays[`${c.task}.rgb_u8`]!));
      const batch = batchOf(c.task);
      const before = tf.memory().numTensors;
      const met: tf.Tensor[] = [];
      const {loss, gradients} = gradientsOf(parametersOf(model), () => {
        const live = c.mode === 'train';
        const prompts = unpadded(rows(`${c.task}.src_tokens`));
        const input = {pixels, prompts, imageOf: prompts.map((_, i) => i), inputs: batch.inputs};
        const states = trainingStates(
          model,
          input,
          live ? (each) => met.push(...each.map(({moments}) => moments)) : undefined,
        );
        return taskLosses(model, states, batch, optionsOf(c)).loss;
      });
      const {stem, stages} = model.encoder.resnet;
      const convolutions = [stem, ...stages.flatMap(({all}) => all)];
      expect(met).toHaveLength(c.mode === 'train' ? convolutions.length : 0);
      tf.dispose(met);
      expect(tf.memory().numTensors).toBe(before);
      compareGradients(c, loss, gradients);
    });
  });
});
