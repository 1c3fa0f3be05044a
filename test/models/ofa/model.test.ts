import {jest} from '@jest/globals';
import * as tf from '@tensorflow/tfjs';
import {fixed} from '../../../src/exit/policies/static.js';
import {type ExitPolicy, never, stackPolicies} from '../../../src/exit/policy.js';
import {similarity} from '../../../src/exit/policies/similarity.js';
import {softmaxMargin} from '../../../src/exit/policies/confidence.js';
import {DecoderLayer} from '../../../src/models/ofa/decoder.js';
import type {OfaModel} from '../../../src/models/ofa/model.js';
import {KvCache} from '../../../src/nn/kv-cache.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';
import type {AnswerOptions} from '../../../src/tasks/generation-options.js';
import type {OfaPipeline} from '../../../src/tasks/ofa-processor.js';
import {onBackends} from '../../support/backends.js';
import {closeArrays, LOGITS, STATES} from '../../support/golden/close-to.js';
import {golden} from '../../support/golden/golden.js';
import {microModel} from '../../support/models/micro-model.js';
import {microMue} from '../../support/models/micro-mue.js';
import {goldenPixels} from '../../support/data/pixels.js';
import {type RememberedFeatures, rememberFeatures} from '../../support/models/remember-features.js';

const pictures = golden('snli_ve_inputs.safetensors');
const PROMPT = [0, 99, 315, 16, 5, 271, 116, 2];
const LONG = [0, 32, 51, 282, 116, 333, 35, 264, 5, 2];
const data = async (x: tf.Tensor): Promise<Float32Array> => (await x.data()) as Float32Array;

onBackends('model', () => {
  const mues = {} as Record<'plain' | 'mue', OfaPipeline>;
  let mue: OfaModel;
  let remembered: RememberedFeatures;
  let three: tf.Tensor4D;
  beforeAll(async () => {
    mues.plain = microMue(await microModel('plain'));
    mues.mue = microMue(await microModel('mue'));
    mue = mues.mue.model;
    remembered = rememberFeatures(mues.plain.model, mue);
    three = goldenPixels(pictures['caption_batch3.rgb_u8']!);
  });
  afterAll(() => {
    three.dispose();
    for (const owned of [remembered, mues.plain, mues.mue]) owned[Symbol.dispose]();
  });
  const one = (b: number): tf.Tensor4D => tf.slice(three, [b, 0, 0, 0], [1, -1, -1, -1]);

  test('stacks', () => {
    expect(mue.stacks).toEqual({'encoder.image': 3, 'encoder.text': 3, decoder: 4});
    expect(mues.plain.model.stacks).toEqual({encoder: 3, decoder: 4});
    expect(mue.vocabularySize).toBe(mues.mue.tokenizer.size);
  });

  test('the text stream of a prompt that comes again is remembered, whatever exits', async () => {
    const prompt = [0, 7, 8, 9, 2];
    const forwards = mue.encoder.layers.map((layer) => jest.spyOn(layer, 'forward'));
    /** @returns states and text layers run, and for how many of those a layer was asked */
    const encode = async (
      count: number,
      policy: ExitPolicy,
    ): Promise<{states: Float32Array; run: number; asked: number}> => {
      using scope = new TensorScope();
      for (const forward of forwards) forward.mockClear();
      const pixels = scope.hold(count === 3 ? three.clone() : one(0));
      const prompts = new Array<readonly number[]>(count).fill(prompt);
      const encoded = scope.hold(await mue.encode({pixels, prompts}, policy));
      const traces = encoded.runs[0]!.traces.filter(({stack}) => stack === 'encoder.text');
      const asked = forwards.flatMap(({mock}) => mock.calls).filter(([x]) => x.shape[1] === prompt.length).length;
      return {states: await data(encoded.states), run: traces[0]!.exitLayer, asked};
    };
    const early = (layers: number): ExitPolicy => stackPolicies({'encoder.text': fixed({layers})});
    try {
      const first = await encode(1, early(2));
      expect(first).toMatchObject({run: 2, asked: 2});
      expect(await encode(1, early(2))).toMatchObject({run: 2, asked: 2}); // it may come again: from now on it is kept
      expect(await encode(1, early(2))).toEqual({...first, asked: 0});
      const deeper = await encode(1, never);
      expect(deeper).toMatchObject({run: 3, asked: 1});
      expect(await encode(1, never)).toEqual({...deeper, asked: 0});
      const batch = await encode(3, never);
      expect(batch).toMatchObject({run: 3, asked: 0});
      closeArrays(batch.states.subarray(0, deeper.states.length), deeper.states, STATES);
      expect(await encode(1, early(1))).toMatchObject({run: 1, asked: 0});
    } finally {
      for (const forward of forwards) forward.mockRestore();
    }
  });

  test.each(['plain', 'mue'] as const)(
    '%s: pictures in a batch, padding or not, are what they are alone',
    async (kind) => {
      using scope = new TensorScope();
      const {model} = mues[kind];
      const prompts = [PROMPT, LONG, PROMPT];
      const targets = [
        [0, 99],
        [0, 32, 51],
        [0, 5, 5, 5],
      ];
      const at = targets.map((target, row) => ({row, position: target.length - 1}));
      const together = scope.hold(await model.encode({pixels: three, prompts}, never));
      const all = await data(scope.hold((await model.score(together, {targets, at}, never)).logits));
      for (const [b, prompt] of prompts.entries()) {
        const encoded = scope.hold(await model.encode({pixels: scope.hold(one(b)), prompts: [prompt]}, never));
        const alone = await model.score(
          encoded,
          {targets: [targets[b]!], at: [{row: 0, position: at[b]!.position}]},
          never,
        );
        const words = model.vocabularySize;
        closeArrays(await data(scope.hold(alone.logits)), all.subarray(b * words, (b + 1) * words), LOGITS);
      }
    },
  );

  test('scores of a few words are those of all', async () => {
    using scope = new TensorScope();
    const encoded = scope.hold(await mue.encode({pixels: scope.hold(one(0)), prompts: [PROMPT]}, never));
    const input = {
      targets: [[0, 99, 5]],
      at: [
        {row: 0, position: 1},
        {row: 0, position: 2},
      ],
    };
    const all = await data(scope.hold((await mue.score(encoded, input, never)).logits));
    const words = [319, 4, 117];
    const few = await data(scope.hold((await mue.score(encoded, {...input, ids: words}, never)).logits));
    closeArrays(
      few,
      [0, 1].flatMap((row) => words.map((word) => all[row * mue.vocabularySize + word]!)),
      1e-5,
    );
  });

  test('every pair of depths of a picture and a prompt is what an encoder that leaves there gives', async () => {
    using scope = new TensorScope();
    const pixels = scope.hold(one(1));
    const depths = scope.hold(await mue.imageStates(pixels));
    const prompt = scope.hold(await depths.withPrompt(PROMPT));
    const target = {targets: [[0, 99, 5]], at: [{row: 0, position: 2}]};
    for (const pair of [
      [1, 3],
      [2, 1],
      [3, 3],
    ] as const) {
      const [image, text] = pair.map((layers) => fixed({layers})) as [ExitPolicy, ExitPolicy];
      const direct = scope.hold(
        await mue.encode({pixels, prompts: [PROMPT]}, stackPolicies({'encoder.image': image, 'encoder.text': text})),
      );
      const combined = scope.hold(prompt.combine([pair]));
      closeArrays(await data(combined.states), await data(direct.states), STATES);
      expect(combined.runs[0]!.macs).toEqual(direct.runs[0]!.macs);
      const [a, b] = [await mue.score(combined, target, never), await mue.score(direct, target, never)];
      closeArrays(await data(scope.hold(a.logits)), await data(scope.hold(b.logits)), LOGITS);
      expect(prompt.scoringMacs(pair, 4, 3, mue.vocabularySize)).toBe(direct.runs[0]!.macs.run + b.runs[0]!.macs.run);
    }
  });

  test('every depth of a joint encoder is what an encoder that leaves there gives', async () => {
    using scope = new TensorScope();
    const {model} = mues.plain;
    // One picture of the size that the model expects, one of another.
    for (const pixels of [scope.hold(one(1)), scope.hold(tf.slice(three, [0, 0, 0, 0], [1, 32, 48, 3]))]) {
      const depths = scope.hold(await model.imageStates(pixels));
      const prompt = scope.hold(await depths.withPrompt(PROMPT));
      expect(prompt.stacks.map(({stack, similarity: seen}) => [stack, seen.length])).toEqual([['encoder', 3]]);
      const target = {targets: [[0, 99, 5]], at: [{row: 0, position: 2}]};
      const combined = scope.hold(prompt.combine([[1], [3], [2]]));
      for (const [row, layers] of [1, 3, 2].entries()) {
        const direct = scope.hold(
          await model.encode({pixels, prompts: [PROMPT]}, stackPolicies({encoder: fixed({layers})})),
        );
        closeArrays(await data(scope.hold(tf.slice(combined.states, row, 1))), await data(direct.states), STATES);
        expect(combined.runs[row]!.macs).toEqual(direct.runs[0]!.macs);
        const alone = scope.hold(prompt.combine([[layers]]));
        const [a, b] = [await model.score(alone, target, never), await model.score(direct, target, never)];
        closeArrays(await data(scope.hold(a.logits)), await data(scope.hold(b.logits)), LOGITS);
        expect(prompt.scoringMacs([layers], 4, 3, model.vocabularySize)).toBe(
          direct.runs[0]!.macs.run + b.runs[0]!.macs.run,
        );
      }
    }
  });

  const picture = {width: 64, height: 64, data: (pictures['caption_batch1_0.rgb_u8']!.data as Uint8Array).slice()};
  const CALLS: Readonly<
    Record<string, (of: OfaPipeline, options: AnswerOptions) => Promise<{macs: {run: number; full: number}}>>
  > = {
    caption: (of, options) => of.caption(picture, {...options, num_beams: 2, max_new_tokens: 5}),
    entail: (of, options) => of.entail(picture, 'a dog', options),
    ask: (of, options) => of.ask(picture, 'what is it', {...options, num_beams: 2, max_new_tokens: 3}),
    candidates: (of, options) =>
      of.ask(picture, 'what is it', {...options, answers: ['a man', 'dog'], method: 'all-candidates'}),
    prompt: (of, options) => of.prompt(picture, 'red?', {...options, num_beams: 1, max_new_tokens: 4}),
  };
  test.each(Object.entries(CALLS))('full depth costs what full depth costs: %s', async (_name, call) => {
    for (const model of [mues.plain, mues.mue]) {
      const {macs} = await call(model, {exit: 'never'});
      expect(macs.run).toBe(macs.full);
    }
  });

  test('exit tests cost their cosines, looks at words their scores, on top of full depth', async () => {
    const steps = 4;
    const caption = async (policy: ExitPolicy): Promise<number> => {
      const {macs, layers} = await mues.mue.caption(picture, {
        exit: {policy},
        num_beams: 2,
        max_new_tokens: steps - 1,
        min_length: 3,
      });
      expect(layers.decoder!.run).toEqual(new Array(steps).fill(4));
      return macs.run - macs.full;
    };
    const rows = 1 + 2 * (steps - 1); // at the first step both beams are one
    const looks = 3 * rows; // at three layers of four
    expect(await caption(stackPolicies({decoder: similarity({threshold: 0.99999})}))).toBe(looks * 3 * 32); // D = 32
    expect(await caption(stackPolicies({decoder: softmaxMargin({threshold: 1.5})}))).toBe(
      looks * (3 * 32 + 32 * mue.vocabularySize),
    );
    const image = await caption(stackPolicies({'encoder.image': similarity({threshold: 0.99999})}));
    expect(image).toBe(2 * 3 * (16 * 32)); // two layers of three, 16 patches
  });

  test('a layer that leaves saves what its MACs say', async () => {
    const policy = stackPolicies({'encoder.image': fixed({layers: 1}), decoder: fixed({layers: 2})});
    const {macs, layers} = await mues.mue.entail(picture, 'a dog', {exit: {policy}});
    expect(layers).toMatchObject({
      'encoder.image': {run: 1, of: 3},
      'encoder.text': {run: 3, of: 3},
      decoder: {run: 2, of: 4},
    });
    const {source, target} = mues.mue.entailmentTokens('a dog');
    const memory = 16 + source.length;
    const {cost} = mue;
    const decoder = cost.decoderLayer(target.length, target.length, memory) + cost.crossAttentionKv(memory);
    expect(macs.full - macs.run).toBe(2 * cost.encoderLayer(16) + 2 * decoder);
  });

  test('a decoder layer as a tfjs layer is the one that decodes', async () => {
    using scope = new TensorScope();
    const flags = {
      scaleFactor: 2,
      scaleAttention: true,
      scaleFeedForward: true,
      scaleHeads: true,
      scaleResiduals: true,
    };
    const layer = scope.hold(new DecoderLayer({size: 8, heads: 2, hidden: 16, ...flags}));
    layer.build();
    layer.setWeights(
      layer.weights.map(({shape}, w) => {
        const size = (shape as number[]).reduce((a, b) => a * b, 1);
        return scope.hold(
          tf.tensor(
            Float32Array.from({length: size}, (_, i) => Math.cos(i * (w + 1))),
            shape as number[],
          ),
        );
      }),
    );
    const wave = (rows: number): tf.Tensor3D =>
      scope.hold(
        tf.tensor3d(
          Float32Array.from({length: rows * 8}, (_, i) => Math.sin(i)),
          [1, rows, 8],
        ),
      );
    const [x, states] = [wave(4), wave(6)];
    const cache = scope.hold(new KvCache());
    const memory = scope.hold(layer.crossKv(states));
    const stepped = scope.hold(layer.forwardCached(x, {cache, memory, bias: {self: [], cross: []}}));
    closeArrays(await data(scope.hold(layer.call([x, states]))), await data(stepped), 1e-6);
  });
});
