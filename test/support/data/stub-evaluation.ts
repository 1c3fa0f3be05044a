import type {Answerer} from '../../../src/evaluation/evaluate.js';
import {badRow, type Dataset, type DatasetItem, type DatasetTask, type OnBadRow} from '../../../src/data/dataset.js';
import type {ExitPlan} from '../../../src/exit/plan/schema.js';
import type {EvaluateIntoOptions} from '../../../src/node/runs/evaluate-into.js';
import type {RunFile} from '../../../src/node/runs/run-file.js';
import type {Answer, Entailment} from '../../../src/tasks/answer.js';

const LABELS = ['no', 'yes', 'maybe'] as const;
const DEPTHS = {'encoder.image': 6, 'encoder.text': 6, decoder: 6};

/** Rows of n pictures' questions, three a picture; row i's label is LABELS[i % 3]. */
export function stubItems(task: DatasetTask, n: number): DatasetItem[] {
  return Array.from({length: n}, (_, i) => {
    const picture = String(7 + Math.floor(i / 3));
    const base = {
      id: `row ${i}`,
      imageId: picture,
      image: {path: `${picture}.jpg`},
      line: i + 1,
      extra: {difficulty: 1 + (i % 4)},
    };
    if (task === 'caption')
      return {...base, imageId: String(i), references: [`a dog number ${i} on the grass`, 'a dog in a field']};
    if (task === 'vqa')
      return {
        ...base,
        text: `${i}?`,
        answers: new Map([
          ['one', 1],
          ['a', 0.5],
        ]),
      };
    return {...base, text: `hypothesis ${i}`, label: LABELS[i % 3]!};
  });
}

/** A data set, with bad lines reported after the rows of these numbers. */
export function stubDataset(
  items: readonly DatasetItem[],
  onBadRow?: OnBadRow,
  badAfter: readonly number[] = [],
): Dataset {
  return {
    async *[Symbol.asyncIterator]() {
      for (const [i, item] of items.entries()) {
        yield item;
        if (badAfter.includes(i)) onBadRow?.({line: 1000 + i, error: badRow(1000 + i, 'not JSON')});
      }
    },
  };
}

/** A model without a model: its answers follow from the question alone. Every tenth entailment is wrong. */
export class StubAnswerer implements Answerer {
  asked = 0;

  constructor(private readonly change: (answer: Answer, asked: number) => Answer = (answer) => answer) {}

  async captionAll(pictures: readonly unknown[]): Promise<Answer[]> {
    return pictures.map(() => this.#answer('a dog in a field', -0.25, [3, 2, 5]));
  }

  async entailAll(questions: readonly {hypothesis: string}[]): Promise<Entailment[]> {
    return questions.map(({hypothesis}) => this.#entail(hypothesis));
  }

  async askAll(questions: readonly {question: string}[]): Promise<Answer[]> {
    return questions.map(({question}) =>
      this.#answer(['one', 'a', 'no'][Number(question.slice(0, -1)) % 3]!, -1, [6, 1]),
    );
  }

  #entail(hypothesis: string): Entailment {
    const i = Number(hypothesis.split(' ')[1]);
    const text = LABELS[(i % 10 === 9 ? i + 1 : i) % 3]!;
    const scores = {no: -3, yes: -4, maybe: -5, [text]: -0.1 - i / 1000};
    return {...this.#answer(text, scores[text], 1 + (i % 4)), text, scores} as Entailment;
  }

  #answer(text: string, score: number, run: number | readonly number[]): Answer {
    this.asked++;
    const layers = {'encoder.image': {run: 2, of: 6}, 'encoder.text': {run: 1, of: 6}, decoder: {run, of: 6}};
    const ms = {preprocess: 1, encode: 5 + Math.random(), decode: 3, total: 9};
    const trace = [
      {
        stack: 'encoder.image' as const,
        exitLayer: 2,
        depth: 6,
        exited: true,
        scores: [0.5, Number.NaN],
        thresholds: [0.6, 0.6],
      },
    ];
    const answer: Answer = {
      text,
      tokens: [5],
      score,
      hypotheses: [],
      layers,
      macs: {run: 600, full: 1000},
      ms,
      trace,
      notes: [],
    };
    return this.change(answer, this.asked);
  }
}

const EXIT: ExitPlan = {
  version: 1,
  mode: 'corrected',
  skippedKv: 'project',
  stacks: {'encoder.image': {policy: 'fixed', layers: 2}},
};

export function stubRun(task: DatasetTask, change: Partial<RunFile> = {}): RunFile {
  return {
    version: 1,
    task,
    model: {name: 'stub', sha256: 'ab'},
    depths: DEPTHS,
    data: {name: `${task}-stub.jsonl`, bytes: 1, sha256: 'cd'},
    exit: EXIT,
    device: 'cpu',
    threads: 1,
    options: {},
    shard: {index: 0, count: 1},
    ...change,
  };
}

/** Options of `evaluateInto` for `n` stub rows; any of them may be replaced. */
export function stubOptions(
  task: DatasetTask,
  n: number,
  change: Partial<EvaluateIntoOptions> = {},
): EvaluateIntoOptions {
  const items = stubItems(task, n);
  return {
    run: stubRun(task),
    openDataset: (onBadRow) => stubDataset(items, onBadRow),
    rowsInFile: n,
    answerer: new StubAnswerer(),
    readPicture: async () => ({width: 1, height: 1, data: new Uint8Array(3)}),
    warmup: 0,
    onBad: () => {},
    ...change,
  };
}
