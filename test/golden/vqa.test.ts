import type {DatasetItem} from '../../src/data/dataset.js';
import {resizeBicubic} from '../support/data/resize.js';
import {Tokenizer} from '../../src/data/tokenizer.js';
import {readTsv} from '../../src/data/tsv.js';
import {correctness} from '../../src/evaluation/row.js';
import {never} from '../../src/exit/policy.js';
import {decodeImage} from '../../src/node/picture/decode.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {questionPrompt} from '../../src/tasks/prompts.js';
import {scoreAnswers} from '../../src/tasks/score-answers.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {chunks, collect} from '../support/data/chunks.js';
import {closeArrays, LOGITS} from '../support/golden/close-to.js';
import {golden, goldenBytes} from '../support/golden/golden.js';
import {padded, unpadded} from '../support/models/padding.js';
import {goldenPixels} from '../support/data/pixels.js';
import {microVocabulary} from '../support/data/vocabulary.js';
import {watchTargets} from '../support/watch-targets.js';
import {useMicroModels} from '../support/models/use-micro-models.js';

interface Case {
  readonly batch: number;
  readonly model: 'plain' | 'mue';
  readonly input: {
    readonly ids: readonly string[];
    readonly src_tokens: readonly (readonly number[])[];
    readonly prev_output_tokens: readonly (readonly number[])[];
  };
  readonly decoder_prompts: readonly (readonly number[])[];
  readonly scores: readonly (readonly number[])[];
  readonly predictions: readonly {readonly question_id: number; readonly answer: string}[];
  readonly accuracy_terms: readonly number[];
  readonly ref_dict: readonly Readonly<Record<string, number>>[];
}

const info = golden<{
  answers: readonly string[];
  answer_tokens: Record<string, number[]>;
  valid_batch_size: number;
  cases: readonly Case[];
}>('vqa.json');
const pictures = golden('vqa_inputs.safetensors');
const cases = info.cases.map((c) => [`batch ${c.batch}, ${c.model}`, c] as const);

test('answers', () => {
  const tokenizer = new Tokenizer(microVocabulary());
  for (const [answer, ids] of Object.entries(info.answer_tokens)) expect(tokenizer.encode(` ${answer}`)).toEqual(ids);
});

test('rows of the TSV file give the pictures, the tokens and the accepted answers', async () => {
  const tokenizer = new Tokenizer(microVocabulary());
  const rows = await tsvRows();
  for (const c of info.cases) {
    const items = c.input.ids.map((id) => rows.get(id)!);
    const sources = items.map((item) => {
      const text = questionPrompt(item.text!, 80, item.objects ?? []);
      return [tokenizer.bos, ...tokenizer.encode(text), tokenizer.eos];
    });
    expect(padded(sources)).toEqual(c.input.src_tokens);
    expect(sources.map((ids) => ids.slice(0, -1))).toEqual(c.decoder_prompts);
    // The target is the answer of the largest confidence.
    const targets = items.map(({answers}) => [...answers!].reduce((a, b) => (b[1] > a[1] ? b : a))[0]);
    expect(padded(targets.map((answer, i) => [...c.decoder_prompts[i]!, ...info.answer_tokens[answer]!]))).toEqual(
      c.input.prev_output_tokens,
    );
    expect(items.map(({answers}) => Object.fromEntries(answers!))).toEqual(c.ref_dict);
    const resized = await Promise.all(
      items.map(async (item) => resizeBicubic(await decodeImage(bytesOf(item)), 64, 64).data),
    );
    expect(Buffer.concat(resized).equals(pictures[`batch${c.batch}.rgb_u8`]!.data as Uint8Array)).toBe(true);
  }
});

onBackends('vqa', (device) => {
  const {mues} = useMicroModels();

  test.each(cases)('all candidates, %s', async (_name, c) => {
    using scope = new TensorScope();
    const {model} = mues[c.model];
    const pixels = scope.hold(goldenPixels(pictures[`batch${c.batch}.rgb_u8`]!));
    // The release calls this task without thresholds: it never exits.
    const encoded = scope.hold(await model.encode({pixels, prompts: unpadded(c.input.src_tokens)}, never));
    const {watched, targets} = watchTargets(model);
    const {scores} = await scoreAnswers(watched, encoded, never, {
      prompts: c.decoder_prompts,
      answers: info.answers.map((answer) => info.answer_tokens[answer]!),
      mode: 'reference',
      eos: 2,
      chunk: info.valid_batch_size,
    });
    const chunks = Math.ceil(info.answers.length / info.valid_batch_size);
    expect(targets.map((rows) => rows.length / c.decoder_prompts.length)).toEqual(
      Array.from({length: chunks}, (_, i) =>
        Math.min(info.valid_batch_size, info.answers.length - i * info.valid_batch_size),
      ),
    );
    for (const [i, want] of c.scores.entries()) closeArrays(scores[i]!, want, LOGITS);
    const predictions = scores.map((row) => info.answers[row.indexOf(Math.max(...row))]!);
    expect(predictions).toEqual(c.predictions.map(({answer}) => answer));
    const terms = c.ref_dict.map((accepted, i) =>
      correctness({answers: new Map(Object.entries(accepted))}, 'vqa', predictions[i]!),
    );
    expect(terms).toEqual(c.accuracy_terms);
  });

  // The same once more by way of the public call: not on every backend.
  if (!FIRST_DEVICE.includes(device)) return;
  test.each(cases)('from the TSV rows to the answers, %s', async (_name, c) => {
    const rows = await tsvRows();
    for (const [i, id] of c.input.ids.entries()) {
      const item = rows.get(id)!;
      const answer = await mues[c.model].ask(bytesOf(item), item.text!, {
        answers: info.answers,
        method: 'all-candidates',
        objects: item.objects ?? [],
        exit: {policy: never, mode: 'reference'},
      });
      expect(answer.text).toBe(c.predictions[i]!.answer);
      const scores = new Map(answer.hypotheses.map(({text, score}) => [text, score]));
      closeArrays(
        info.answers.map((text) => scores.get(text)!),
        c.scores[i]!,
        LOGITS,
      );
    }
  });
});

async function tsvRows(): Promise<ReadonlyMap<string, DatasetItem>> {
  const items = await collect(readTsv(chunks(goldenBytes('vqa.tsv'), 65536), {task: 'vqa'}));
  return new Map(items.map((item) => [item.id, item]));
}

const bytesOf = (item: DatasetItem): Uint8Array => ('bytes' in item.image ? item.image.bytes : new Uint8Array());
