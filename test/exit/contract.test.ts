import {oracle} from '../../src/exit/policies/static.js';
import {NEVER_PLAN, type StackPlan} from '../../src/exit/plan/schema.js';
import {createPolicy, POLICY_NAMES} from '../../src/exit/plan/policies.js';
import {type ExitPolicy, never} from '../../src/exit/policy.js';
import {recordingPolicy} from '../../src/exit/recording.js';
import {SKIPPED_KV} from '../../src/exit/stacks.js';
import type {OfaEncoded} from '../../src/models/ofa/encode.js';
import type {OfaModel} from '../../src/models/ofa/model.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {withoutLeaks} from '../support/leaks.js';
import {golden} from '../support/golden/golden.js';
import {microModel} from '../support/models/micro-model.js';
import {goldenPixels} from '../support/data/pixels.js';
import {type RememberedFeatures, rememberFeatures} from '../support/models/remember-features.js';

// What every policy keeps, whatever it decides by. A new policy gets a line here, or this suite fails.

interface Settings {
  /** In stacks without word scores, too. */
  readonly encoder: boolean;
  /** Never leaves early on this model. */
  readonly full: StackPlan;
  /** Leaves as soon as it may. */
  readonly early: StackPlan;
  /** Layers that run in the decoder under `early`. */
  readonly layers: number;
}
const threshold = (policy: string, full: number, early: number, encoder: boolean): Settings => ({
  encoder,
  full: {policy, threshold: full},
  early: {policy, threshold: early},
  layers: 1,
});
const head = {weights: [0, 0, 0, 0], biases: [0, 0, 0]}; // always one half
const SETTINGS: Readonly<Record<string, Settings>> = {
  similarity: threshold('similarity', 0.9999, -2, true),
  'cosine-last': threshold('cosine-last', 1.5, -2, true),
  'cosine-mean': threshold('cosine-mean', 1.5, -2, true),
  'relative-l2': threshold('relative-l2', 0, 1e6, true),
  'softmax-margin': threshold('softmax-margin', 1.5, 0, false),
  'softmax-max': threshold('softmax-max', 1.5, 0, false),
  entropy: threshold('entropy', 0, 1e6, false),
  patience: {
    encoder: false,
    full: {policy: 'patience', patience: 5},
    early: {policy: 'patience', patience: 1},
    layers: 1,
  },
  'patience-confidence': {
    encoder: false,
    full: {policy: 'patience-confidence', patience: 5, threshold: 0.1},
    early: {policy: 'patience-confidence', patience: 1, threshold: 0},
    layers: 1,
  },
  'linear-head': {
    encoder: false,
    full: {policy: 'linear-head', head, threshold: 0.6},
    early: {policy: 'linear-head', head, threshold: 0.5},
    layers: 1,
  },
  fixed: {encoder: true, full: {policy: 'fixed', layers: 4}, early: {policy: 'fixed', layers: 2}, layers: 2},
  random: {
    encoder: true,
    full: {policy: 'random', histogram: [0, 0, 0, 1]},
    early: {policy: 'random', histogram: [0, 1], seed: 3},
    layers: 2,
  },
  'quantile-budget': {
    encoder: true,
    full: {policy: 'quantile-budget', thresholds: [null, null, null], score: 'similarity'},
    early: {policy: 'quantile-budget', thresholds: [null, null, -2], score: 'similarity'},
    layers: 3,
  },
};

const pictures = golden('snli_ve_inputs.safetensors');
const PROMPT = [0, 99, 315, 16, 5, 271, 116, 2];
const TOKENS = [0, 99, 315, 16, 5];

test('every policy that plans know is here', () => {
  const known = new Set([...Object.keys(SETTINGS), 'never', 'draft', 'oracle']);
  expect(new Set(POLICY_NAMES)).toEqual(known);
  expect(() => createPolicy({...NEVER_PLAN, stacks: {decoder: {policy: 'oracle'}}}, {decoder: 4})).toThrow(
    expect.objectContaining({code: 'plan-oracle', exitCode: 2}),
  );
});

onBackends(
  'policies',
  () => {
    let model: OfaModel;
    let remembered: RememberedFeatures;
    let want: Run;
    beforeAll(async () => {
      model = await microModel('mue');
      remembered = rememberFeatures(model);
      want = await answer(never);
    });
    afterAll(() => {
      for (const owned of [remembered, model]) owned[Symbol.dispose]();
    });

    interface Run {
      readonly logits: readonly Float32Array[];
      readonly scored: Float32Array;
      readonly layers: readonly number[];
      readonly encoder: readonly number[];
      readonly macs: {readonly run: number; readonly full: number}[];
    }
    const encode = async (policy: ExitPolicy): Promise<OfaEncoded> => {
      using scope = new TensorScope();
      const pixels = scope.hold(goldenPixels(pictures['caption_batch1_0.rgb_u8']!));
      return await model.encode({pixels, prompts: [PROMPT]}, policy);
    };
    /** Everything that a policy has a say in: the encoder, five steps of two rows, one pass over whole targets. */
    const answer = async (policy: ExitPolicy, skippedKv: (typeof SKIPPED_KV)[number] = 'project'): Promise<Run> => {
      using scope = new TensorScope();
      const encoded = scope.hold(await encode(policy));
      const decoding = scope.hold(model.startDecoding(encoded, 2, TOKENS.length, skippedKv));
      const logits: Float32Array[] = [];
      const layers: number[] = [];
      for (const token of TOKENS) {
        const step = await decoding.step([token, token + 1], policy);
        logits.push((await scope.hold(step.logits).data()) as Float32Array);
        layers.push(step.traces[0]![0]!.exitLayer);
      }
      const scored = await model.score(
        encoded,
        {targets: [TOKENS], at: [{row: 0, position: TOKENS.length - 1}]},
        policy,
      );
      return {
        logits,
        layers,
        encoder: encoded.runs[0]!.traces.map(({exitLayer}) => exitLayer),
        scored: (await scope.hold(scored.logits).data()) as Float32Array,
        macs: [encoded.runs[0]!.macs, decoding.macs[0]!, scored.runs[0]!.macs],
      };
    };
    const policyOf = ({encoder}: Settings, plan: StackPlan): ExitPolicy =>
      createPolicy(
        {
          ...NEVER_PLAN,
          stacks: encoder ? {'encoder.image': plan, 'encoder.text': plan, decoder: plan} : {decoder: plan},
        },
        model.stacks,
      );

    test('never runs everything, at the price of everything', () => {
      expect(want.encoder).toEqual([3, 3]);
      expect(want.layers).toEqual([4, 4, 4, 4, 4]);
      for (const {run, full} of want.macs) expect(run).toBe(full);
    });

    test('draft never leaves by itself: to the bit what never gives', async () => {
      const plan = {policy: 'draft', layers: 1, threshold: 0};
      const {value} = (await withoutLeaks(() =>
        answer(createPolicy({...NEVER_PLAN, stacks: {decoder: plan}}, model.stacks)),
      )) as {value: Run};
      expect(value).toEqual(want);
    });

    describe.each(Object.entries(SETTINGS))('%s', (name, settings) => {
      test('that cannot leave gives the logits of full depth, to the bit', async () => {
        const policy = policyOf(settings, settings.full);
        const result = await withoutLeaks(() => answer(policy));
        expect(policy.name).toBe(name);
        const {value} = result as {value: Run};
        expect([value.encoder, value.layers]).toEqual([want.encoder, want.layers]);
        expect(value.logits).toEqual(want.logits);
        expect(value.scored).toEqual(want.scored);
        for (const [i, {run, full}] of value.macs.entries()) {
          expect(full).toBe(want.macs[i]!.full);
          // What it costs to look is no secret.
          expect(run).toBeGreaterThanOrEqual(full);
        }
      });
      test.each(SKIPPED_KV)('that may leaves early, skipped keys and values: %s', async (skippedKv) => {
        const {value} = (await withoutLeaks(() => answer(policyOf(settings, settings.early), skippedKv))) as {
          value: Run;
        };
        expect(value.layers).toEqual(TOKENS.map(() => settings.layers));
        expect(value.encoder).toEqual(settings.encoder ? [1, 1].map(() => Math.min(settings.layers, 3)) : [3, 3]);
        expect(value.logits.at(-1)).not.toEqual(want.logits.at(-1));
        expect(value.logits.flatMap((l) => [...l]).every(Number.isFinite)).toBe(true);
      });
      test('that is watched decides as if it were not', async () => {
        const {policy, passes} = recordingPolicy(policyOf(settings, settings.early));
        const {value} = (await withoutLeaks(() => answer(policy))) as {value: Run};
        expect(value.logits).toEqual(want.logits);
        const exits = passes.filter(({stack, step}) => stack === 'decoder' && step !== undefined).map(({exit}) => exit);
        expect(exits).toEqual(TOKENS.map(() => settings.layers));
      });
    });

    test('an oracle leaves where it is told', async () => {
      const {value} = (await withoutLeaks(() => answer(oracle({depth: ({step}) => (step ?? 1) + 1})))) as {value: Run};
      expect(value.layers).toEqual([1, 2, 3, 4, 4]);
    });
  },
  FIRST_DEVICE,
);
