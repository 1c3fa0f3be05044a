import {isDeepStrictEqual} from 'node:util';
import {createPolicy} from '../../src/exit/plan/policies.js';
import {thresholdPlan} from '../../src/exit/plan/presets.js';
import {never, stackPolicies} from '../../src/exit/policy.js';
import {thresholdAt} from '../../src/exit/policies/threshold.js';
import {similarity} from '../../src/exit/policies/similarity.js';
import {fairseqBeamSearch, type SearchStep} from '../../src/generation/fairseq-beam-search.js';
import {TokenTrie} from '../../src/generation/token-trie.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {onBackends} from '../support/backends.js';
import {closeArrays, LOGITS, SIMILARITIES} from '../support/golden/close-to.js';
import {golden} from '../support/golden/golden.js';
import {goldenPixels} from '../support/data/pixels.js';
import {useMicroModels} from '../support/models/use-micro-models.js';

interface Step {
  readonly threshold: number;
  readonly similarities: readonly number[];
  readonly exit_layer: number | null;
  readonly self_cache_lengths: readonly number[];
  readonly input_tokens: readonly (readonly number[])[];
  readonly cand_scores: readonly (readonly (number | string)[])[];
  readonly cand_tokens: readonly (readonly number[])[];
  readonly cand_beams: readonly (readonly number[])[];
}
interface Case {
  readonly name: string;
  readonly model: 'plain' | 'mue';
  readonly input: string;
  readonly generation: {
    max_len_a?: number;
    max_len_b: number;
    min_len?: number;
    no_repeat_ngram_size: number;
    beam: number;
    lenpen?: number;
    temperature?: number;
    unkpen?: number;
    unnormalized?: boolean;
  };
  readonly kwargs: {is_train?: boolean; img_thres?: number; txt_thres?: number; decoder_thres?: number};
  readonly prefix_tokens: boolean;
  readonly constraint_trie: boolean;
  readonly result: {
    readonly encoder: {exit_layer_image: number; exit_layer_text: number} | null;
    readonly steps: readonly Step[];
    readonly hypotheses: readonly (readonly {tokens: number[]; score: number}[])[];
  };
}
interface Generation {
  readonly inputs: Record<string, {src_tokens: number[][]; prefix_tokens: number[][] | null}>;
  readonly cases: readonly Case[];
  readonly answer_tokens: Record<string, number[]>;
}

const info = golden<Generation>('generation.json');
const pictures = golden('generation_inputs.safetensors');

function policyOf({model, kwargs}: Case): ReturnType<typeof createPolicy> {
  if (model === 'plain') return never;
  // Validation mode: the encoder never exits, the generator's threshold stays 1.
  const {is_train, img_thres, txt_thres, decoder_thres} = kwargs;
  const plan = thresholdPlan({
    mode: 'reference',
    image: img_thres ?? 2,
    text: txt_thres ?? 2,
    ...(is_train || decoder_thres === undefined ? {} : {decoder: decoder_thres}),
  });
  return createPolicy(plan, {'encoder.image': 3, 'encoder.text': 3, decoder: 4});
}

const number = (value: number | string): number => (value === '-Infinity' ? -Infinity : Number(value));
const EOS = 2;

/**
 * The candidates of a sentence that the next step's rows grow from, as fairseq takes them: in their order, finished
 * ones last. A candidate of score −∞ never finishes.
 */
function grown({cand_tokens, cand_scores}: Step, sentence: number, beam: number): readonly number[] {
  const order = [...cand_tokens[sentence]!.keys()];
  const finished = (i: number): boolean =>
    cand_tokens[sentence]![i] === EOS && number(cand_scores[sentence]![i]!) > -Infinity;
  return [...order.filter((i) => !finished(i)), ...order.filter(finished)].slice(0, beam);
}

/**
 * Whether the result depends on torch.topk's order among candidates of score −∞, which is undefined: rows that grew
 * from such candidates stay in the batch, and enter MuE's similarity. Those cases are fed the recorded tokens.
 */
function dependsOnOrder({model, generation: {beam}, result: {steps}}: Case): boolean {
  if (model === 'plain') return false;
  return steps
    .slice(0, -1)
    .some((step) =>
      [...step.cand_scores.keys()].some((sentence) =>
        grown(step, sentence, beam).some((i) => number(step.cand_scores[sentence]![i]!) === -Infinity),
      ),
    );
}

onBackends('generation', () => {
  const {models} = useMicroModels();

  const lengths = (c: Case): number => {
    const source = info.inputs[c.input]!.src_tokens[0]!.length;
    return Math.floor((c.generation.max_len_a ?? 0) * source + c.generation.max_len_b);
  };
  const trie = new TokenTrie(Object.values(info.answer_tokens), 2);

  test.each(info.cases.filter((c) => !dependsOnOrder(c)).map((c) => [c.name, c] as const))('%s', async (_name, c) => {
    using scope = new TensorScope();
    const model = models[c.model];
    const {src_tokens, prefix_tokens} = info.inputs[c.input]!;
    const pixels = scope.hold(goldenPixels(pictures[`${c.input}.rgb_u8`]!));
    const policy = policyOf(c);
    const encoded = scope.hold(await model.encode({pixels, prompts: src_tokens}, policy));
    if (c.result.encoder) {
      expect(encoded.runs[0]!.traces.map(({exitLayer}) => exitLayer)).toEqual([
        c.result.encoder.exit_layer_image,
        c.result.encoder.exit_layer_text,
      ]);
    }
    const {
      beam,
      min_len = 1,
      no_repeat_ngram_size,
      lenpen = 1,
      temperature = 1,
      unkpen = 0,
      unnormalized = false,
    } = c.generation;
    const maxLength = lengths(c);
    const decoding = scope.hold(model.startDecoding(encoded, beam, maxLength, 'gap'));
    const seen: SearchStep[] = [];
    const cacheLengths: number[][] = [];
    const {hypotheses} = await fairseqBeamSearch(decoding, src_tokens.length, policy, {
      beams: beam,
      maxLength,
      minLength: min_len,
      noRepeatNgram: no_repeat_ngram_size,
      lengthPenalty: lenpen,
      normalize: !unnormalized,
      temperature,
      unkPenalty: unkpen,
      includeDeadBeams: true,
      ...(c.prefix_tokens ? {prefixes: prefix_tokens!.map((row) => row.filter((id) => id !== 1))} : {}),
      ...(c.constraint_trie ? {trie} : {}),
      onStep: (step) => {
        seen.push(step);
        cacheLengths.push(decoding.caches.map((cache) => cache.length));
      },
    });
    expect(seen.length).toBe(c.result.steps.length);
    for (const [s, want] of c.result.steps.entries()) {
      const got = seen[s]!;
      const finite = (b: number): number[] =>
        want.cand_scores[b]!.flatMap((score, i) => (number(score) > -Infinity ? [i] : []));
      for (const b of want.cand_scores.keys()) {
        const which = finite(b);
        expect(which.map((i) => [got.candidates[b]![i]!.token, got.candidates[b]![i]!.beam])).toEqual(
          which.map((i) => [want.cand_tokens[b]![i], want.cand_beams[b]![i]]),
        );
        closeArrays(
          which.map((i) => got.candidates[b]![i]!.score),
          which.map((i) => number(want.cand_scores[b]![i]!)),
          LOGITS,
        );
      }
      if (c.model === 'mue' && want.exit_layer !== null) {
        expect([s, got.traces[0]!.exitLayer]).toEqual([s, want.exit_layer]);
        closeArrays(got.traces[0]!.scores as number[], want.similarities, SIMILARITIES);
        expect(got.traces[0]!.thresholds[0]).toBeCloseTo(want.threshold, 6);
      }
      expect(cacheLengths[s]).toEqual(want.self_cache_lengths);
    }
    for (const [b, want] of c.result.hypotheses.entries()) {
      expect(hypotheses[b]!.map(({tokens}) => tokens)).toEqual(want.map(({tokens}) => tokens));
      closeArrays(
        hypotheses[b]!.map(({score}) => score),
        want.map(({score}) => score),
        LOGITS,
      );
    }
  });

  const fed = info.cases.filter(dependsOnOrder).map((c) => [c.name, c] as const);
  if (fed.length === 0) test.skip('no case depends on the order of candidates of score −∞', () => undefined);
  else
    test.each(fed)('%s, fed the recorded tokens', async (_name, c) => {
      using scope = new TensorScope();
      const model = models[c.model];
      const {src_tokens} = info.inputs[c.input]!;
      const pixels = scope.hold(goldenPixels(pictures[`${c.input}.rgb_u8`]!));
      const encoded = scope.hold(await model.encode({pixels, prompts: src_tokens}, policyOf(c)));
      const maxLength = lengths(c);
      const {beam} = c.generation;
      const decoding = scope.hold(model.startDecoding(encoded, beam, maxLength, 'gap'));
      for (const [s, want] of c.result.steps.entries()) {
        const before = c.result.steps[s - 1];
        if (before) {
          const rows: number[] = [];
          // Sentences that were finished are left out.
          for (const sentence of before.cand_tokens.keys()) {
            const from = grown(before, sentence, beam);
            const row = (i: number): number => sentence * beam + before.cand_beams[sentence]![i]!;
            const texts = from.map((i) => [...before.input_tokens[row(i)]!, before.cand_tokens[sentence]![i]!]);
            if (isDeepStrictEqual(texts, want.input_tokens.slice(rows.length, rows.length + beam)))
              rows.push(...from.map(row));
          }
          expect(rows.length).toBe(want.input_tokens.length);
          decoding.reorder(rows);
        }
        const policy = stackPolicies({decoder: similarity({threshold: want.threshold, mode: 'reference'})});
        expect(want.threshold).toBeCloseTo(thresholdAt({name: 'release'}, c.kwargs.decoder_thres!, s, maxLength), 6);
        const {logits, traces} = await decoding.step(
          want.input_tokens.map((row) => row.at(-1)!),
          policy,
        );
        logits.dispose();
        expect([s, traces[0]![0]!.exitLayer]).toEqual([s, want.exit_layer]);
        closeArrays(traces[0]![0]!.scores as number[], want.similarities, SIMILARITIES);
        expect(decoding.caches.map((cache) => cache.length)).toEqual(want.self_cache_lengths);
      }
    });
});
