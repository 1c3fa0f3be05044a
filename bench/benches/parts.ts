import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {decodeImage} from '../../src/node/picture/decode.js';
import {type Answer, meanLayers} from '../../src/tasks/answer.js';
import type {CustomExit} from '../../src/tasks/exits.js';
import type {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import type {ClockName} from '../measure/clock.js';
import type {Row} from '../report/result-file.js';
import {medianByPart, summarize} from '../measure/statistics.js';
import type {Stopwatch} from '../measure/stopwatch.js';
import {PARTS, type Part, watchModel, watchPolicy} from '../cases/watch-model.js';

const SCENES = fileURLToPath(new URL('../../data/scenes/', import.meta.url));
const CHOICES = ['never', 'model'] as const;
const TITLES = {never: 'every layer', model: "the model's plan"} as const;

interface Question {
  readonly image: string;
  readonly text: string;
}

/** The first lines of a file of the test sets, one of each picture. */
export function testQuestions(file: string, count: number): Question[] {
  const lines = fs.readFileSync(path.join(SCENES, file), 'utf8').trim().split('\n');
  const questions = lines.map((line) => JSON.parse(line) as {image: string; text?: string});
  const seen = new Set<string>();
  const firsts = questions.filter(({image}) => !seen.has(image) && seen.add(image));
  return firsts.slice(0, count).map(({image, text = ''}) => ({image: path.join(SCENES, image), text}));
}

type Ask = (
  mue: OfaPipeline,
  picture: Parameters<OfaPipeline['caption']>[0],
  question: Question,
  exit: CustomExit,
) => Promise<Answer>;

/**
 * Measures the parts of captions and entailments, at full depth and with the model's own exits: the same pictures, by
 * turns, in an order that changes from picture to picture. The MACs of a part stand beside it where the model says
 * them.
 */
export async function measureParts(
  mue: OfaPipeline,
  {pictures, clock, signal}: {pictures: number; clock: ClockName; signal?: AbortSignal},
): Promise<Row[]> {
  const watch = watchModel(mue.model, clock);
  watch.watch(mue, 'pixels', 'resize, normalise');
  const tasks: readonly ['caption' | 'snli-ve', Question[], Ask][] = [
    ['caption', testQuestions('caption-test.jsonl', pictures), (m, picture, _, exit) => m.caption(picture, {exit})],
    [
      'snli-ve',
      testQuestions('snli-ve-test.jsonl', pictures),
      (m, picture, {text}, exit) => m.entail(picture, text, {exit}),
    ],
  ];
  const rows: Row[] = [];
  for (const [task, questions, ask] of tasks) {
    const runs = {never: [] as Run[], model: [] as Run[]};
    for (const question of questions.slice(0, 2))
      for (const choice of CHOICES) await answer(mue, watch, task, question, choice, ask);
    for (const [i, question] of questions.entries()) {
      signal?.throwIfAborted();
      for (const choice of i % 2 ? CHOICES : CHOICES.toReversed()) {
        runs[choice].push(await answer(mue, watch, task, question, choice, ask));
      }
    }
    for (const choice of CHOICES) rows.push(...table(`${task}, ${TITLES[choice]}`, runs[choice]));
  }
  return rows;
}

interface Run {
  readonly ms: Readonly<Record<string, number>>;
  readonly macs: Readonly<Partial<Record<Part, number>>>;
  readonly answer: Answer;
}

async function answer(
  mue: OfaPipeline,
  watch: Stopwatch,
  task: 'caption' | 'snli-ve',
  question: Question,
  choice: 'never' | 'model',
  ask: Ask,
): Promise<Run> {
  const exits = mue.resolveExits(task, choice);
  const exit = {...exits, policy: watchPolicy(exits.policy, watch)};
  const bytes = fs.readFileSync(question.image);
  watch.take();
  const given = await watch.time('rest (search, glue)', async () => {
    const image = await watch.time('decode picture', () => decodeImage(bytes));
    return await ask(mue, image, question, exit);
  });
  const {ms} = watch.take();
  const {cost, config} = mue.model;
  const patches = Math.ceil(config.patch_image_size / 16) ** 2;
  const image = given.layers['encoder.image']?.run;
  return {
    ms,
    answer: given,
    macs: {
      ResNet: cost.stem(config.patch_image_size, config.patch_image_size),
      'patch embedding': cost.patchProjection(patches),
      ...(typeof image === 'number' ? {'image stream': image * cost.encoderLayer(patches)} : {}),
    },
  };
}

/** The medians over pictures of every part and of the whole. */
function table(group: string, runs: readonly Run[]): Row[] {
  const parts = medianByPart(runs.map(({ms}) => ms));
  const macsOf = (part: Part): number | undefined => {
    const known = runs.map(({macs}) => macs[part]);
    return known.some((x) => x === undefined) ? undefined : mean(known as number[]);
  };
  const total = summarize(runs.map(({ms}) => Object.values(ms).reduce((sum, x) => sum + x, 0)));
  const layers = (['encoder.image', 'encoder.text', 'decoder'] as const).map((stack) =>
    mean(runs.map(({answer: {layers: run}}) => (run[stack] ? meanLayers(run[stack]) : Number.NaN))).toFixed(2),
  );
  return [
    ...PARTS.filter((part) => parts[part]).map((part): Row => {
      const macs = macsOf(part);
      return {group, name: part, unit: 'ms', ...parts[part]!, macs};
    }),
    {
      group,
      name: 'total',
      unit: 'ms',
      ...total,
      macs: mean(runs.map((run) => run.answer.macs.run)),
      note: `layers ${layers.join(' / ')}`,
    },
  ];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}
