import type {DatasetItem} from '../../src/data/dataset.js';
import {resizeBicubic} from '../support/data/resize.js';
import {Tokenizer} from '../../src/data/tokenizer.js';
import {readTsv} from '../../src/data/tsv.js';
import {type ExitPolicy, never, stackPolicies} from '../../src/exit/policy.js';
import {similarity} from '../../src/exit/policies/similarity.js';
import type {OfaEncoded} from '../../src/models/ofa/encode.js';
import type {OfaModel} from '../../src/models/ofa/model.js';
import {decodeImage} from '../../src/node/picture/decode.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {ENTAILMENT_ANSWERS, entailmentPrompt} from '../../src/tasks/prompts.js';
import {scoreAnswers} from '../../src/tasks/score-answers.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {chunks, collect} from '../support/data/chunks.js';
import {closeArrays, LOGITS, SIMILARITIES} from '../support/golden/close-to.js';
import {golden, goldenBytes} from '../support/golden/golden.js';
import {padded, unpadded} from '../support/models/padding.js';
import {goldenPixels} from '../support/data/pixels.js';
import {useMicroModels} from '../support/models/use-micro-models.js';
import {microVocabulary} from '../support/data/vocabulary.js';
import {watchTargets} from '../support/watch-targets.js';

interface Case {
  readonly name: string;
  readonly model: 'plain' | 'mue';
  readonly kwargs: {readonly img_thres?: number; readonly txt_thres?: number; readonly decoder_thres?: number};
  readonly input: {
    readonly ids: readonly string[];
    readonly src_tokens: readonly (readonly number[])[];
    readonly prev_output_tokens: readonly (readonly number[])[];
  };
  readonly decoder_prompts: readonly (readonly number[])[];
  readonly scores: readonly (readonly number[])[];
  readonly predictions: readonly string[];
  readonly labels: readonly (readonly string[])[];
  readonly accuracy_terms: readonly number[];
  readonly encoder: {
    readonly exit_layer_image: number;
    readonly exit_layer_text: number;
    readonly text_similarities: readonly number[];
    readonly image_similarities: readonly number[];
  } | null;
  readonly decoder_exit_layer: number | null;
  readonly decoder_similarities: readonly number[];
  readonly decoder_input: readonly (readonly number[])[];
}

const info = golden<{answer_ids: Record<string, number[]>; answers: string[]; cases: readonly Case[]}>('snli_ve.json');
const pictures = golden('snli_ve_inputs.safetensors');
const cases = info.cases.map((c) => [c.name, c] as const);
/** Cases of one batch share their pictures: `caption_batch1_0` of `caption_batch1_0_mue_mid`. */
const batchOf = ({name}: Case): string =>
  Object.keys(pictures)
    .map((key) => key.replace(/\.rgb_u8$/, ''))
    .filter((key) => name.startsWith(`${key}_`))
    .toSorted((a, b) => b.length - a.length)[0]!;

/** No thresholds: evaluation without them, which never exits. */
function policyOf({kwargs: {img_thres, txt_thres, decoder_thres}}: Case): ExitPolicy {
  if (decoder_thres === undefined) return never;
  return stackPolicies({
    'encoder.image': similarity({threshold: img_thres!, mode: 'reference'}),
    'encoder.text': similarity({threshold: txt_thres!, mode: 'reference'}),
    decoder: similarity({threshold: decoder_thres, mode: 'reference'}),
  });
}

/** Whether every layer ran, with or without a policy. */
const ranEveryLayer = ({encoder, decoder_exit_layer}: Case, [encoderDepth, decoderDepth]: readonly number[]): boolean =>
  (encoder === null || (encoder.exit_layer_image === encoderDepth && encoder.exit_layer_text === encoderDepth)) &&
  (decoder_exit_layer === null || decoder_exit_layer === decoderDepth);

const best = (scores: readonly number[]): string => info.answers[scores.indexOf(Math.max(...scores))]!;

test('answers', () => {
  expect(ENTAILMENT_ANSWERS).toEqual(info.answers);
  const tokenizer = new Tokenizer(microVocabulary());
  for (const [word, ids] of Object.entries(info.answer_ids)) expect(tokenizer.encode(` ${word}`)).toEqual(ids);
});

test('rows of the TSV file give the pictures, the tokens and the labels', async () => {
  const tokenizer = new Tokenizer(microVocabulary());
  const rows = await tsvRows();
  for (const c of info.cases) {
    const premise = c.name.startsWith('caption');
    const items = c.input.ids.map((id) => rows.get(id)!);
    const sources = items.map((item) => {
      const text = entailmentPrompt(item.text!, premise ? item.premise : undefined, 80);
      return [tokenizer.bos, ...tokenizer.encode(text), tokenizer.eos];
    });
    expect(padded(sources)).toEqual(c.input.src_tokens);
    expect(sources.map((ids) => ids.slice(0, -1))).toEqual(c.decoder_prompts);
    const answered = items.map(({label}, i) => [...c.decoder_prompts[i]!, ...info.answer_ids[label!]!]);
    expect(padded(answered)).toEqual(c.input.prev_output_tokens);
    expect(items.map(({label}) => [label])).toEqual(c.labels);
    const resized = await Promise.all(
      items.map(async (item) => resizeBicubic(await decodeImage(bytesOf(item)), 64, 64).data),
    );
    expect(Buffer.concat(resized).equals(pictures[`${batchOf(c)}.rgb_u8`]!.data as Uint8Array)).toBe(true);
  }
});

onBackends('snli-ve', (device) => {
  const {mues} = useMicroModels();
  afterAll(() => {
    for (const encoded of fullDepth.values()) encoded[Symbol.dispose]();
  });

  /** Encodings at full depth, which many cases share. */
  const fullDepth = new Map<string, OfaEncoded>();
  const encodeFully = async (c: Case): Promise<OfaEncoded> => {
    const key = `${c.model} ${batchOf(c)}`;
    const known = fullDepth.get(key);
    if (known) return known;
    const made = await encode(mues[c.model].model, c, never);
    fullDepth.set(key, made);
    return made;
  };
  const encode = async (model: OfaModel, c: Case, policy: ExitPolicy): Promise<OfaEncoded> => {
    using scope = new TensorScope();
    const pixels = scope.hold(goldenPixels(pictures[`${batchOf(c)}.rgb_u8`]!));
    return await model.encode({pixels, prompts: unpadded(c.input.src_tokens)}, policy);
  };
  const answers = info.answers.map((word) => info.answer_ids[word]!);

  test.each(cases)('%s', async (_name, c) => {
    using scope = new TensorScope();
    const {model} = mues[c.model];
    const policy = policyOf(c);
    const encoded = policy === never ? await encodeFully(c) : scope.hold(await encode(model, c, policy));
    if (c.encoder) {
      const [image, text] = encoded.runs[0]!.traces;
      expect([image!.exitLayer, text!.exitLayer]).toEqual([c.encoder.exit_layer_image, c.encoder.exit_layer_text]);
      closeArrays(image!.scores as number[], c.encoder.image_similarities, SIMILARITIES);
      closeArrays(text!.scores as number[], c.encoder.text_similarities, SIMILARITIES);
    }
    const {watched, targets} = watchTargets(model);
    const {scores, runs} = await scoreAnswers(watched, encoded, policy, {
      prompts: c.decoder_prompts,
      answers,
      mode: 'reference',
      eos: 2,
    });
    const {traces} = runs[0]!;
    expect(targets.map(padded)).toEqual([c.decoder_input]);
    for (const [i, want] of c.scores.entries()) closeArrays(scores[i]!, want, LOGITS);
    expect(scores.map(best)).toEqual(c.predictions);
    expect(scores.map((row, i) => Number(c.labels[i]!.includes(best(row))))).toEqual(c.accuracy_terms);
    if (c.decoder_exit_layer !== null) expect(traces.map(({exitLayer}) => exitLayer)).toEqual([c.decoder_exit_layer]);
    const measured = traces[0]!.scores.filter((score) => score !== null);
    closeArrays(measured, c.decoder_similarities, SIMILARITIES);
  });

  // Without exits, one softmax over three logits at the last prompt position is the same as scoring every candidate.
  const full = cases.filter(([, c]) => ranEveryLayer(c, [3, 4]));
  test.each(full)('%s, corrected', async (_name, c) => {
    const {model} = mues[c.model];
    const {scores} = await scoreAnswers(model, await encodeFully(c), never, {
      prompts: c.decoder_prompts,
      answers,
      mode: 'corrected',
      eos: 2,
    });
    for (const [i, want] of c.scores.entries()) closeArrays(scores[i]!, want, LOGITS);
  });

  // The same once more by way of the public call: not on every backend.
  if (!FIRST_DEVICE.includes(device)) return;
  const single = cases.filter(([, c]) => c.input.ids.length === 1);
  test.each(single)('%s, from the TSV row to the answer', async (_name, c) => {
    const item = (await tsvRows()).get(c.input.ids[0]!)!;
    const premise = c.name.startsWith('caption') ? item.premise : undefined;
    const answer = await mues[c.model].entail(bytesOf(item), item.text!, {
      premise,
      exit: {policy: policyOf(c), mode: 'reference'},
    });
    expect(answer.text).toBe(c.predictions[0]);
    closeArrays(
      info.answers.map((word) => answer.scores[word as 'no' | 'yes' | 'maybe']),
      c.scores[0]!,
      LOGITS,
    );
    if (c.decoder_exit_layer !== null) expect(answer.layers.decoder!.run).toBe(c.decoder_exit_layer);
  });
});

async function tsvRows(): Promise<ReadonlyMap<string, DatasetItem>> {
  const items = await collect(readTsv(chunks(goldenBytes('snli_ve.tsv'), 65536), {task: 'snli-ve'}));
  return new Map(items.map((item) => [item.id, item]));
}

const bytesOf = (item: DatasetItem): Uint8Array => ('bytes' in item.image ? item.image.bytes : new Uint8Array());
