import {z} from 'zod';
import {lineChart, type Series} from '../charts/line.js';
import {InputError} from '../runtime/errors.js';
import {significant} from '../text/format.js';

/** A line of a training's log, as far as it is drawn. */
const stepSchema = z.object({
  update: z.number(),
  loss: z.number().nullable(),
  layers: z.array(z.number().nullable()).default([]),
  terms: z.record(z.string(), z.number().nullable()).optional(),
  learningRate: z.number(),
  norm: z.number().nullable(),
  ms: z.number(),
  validation: z
    .object({
      metric: z.string(),
      depths: z.array(
        z.object({
          depth: z.number(),
          value: z.number(),
          recall: z.object({textToImage: z.number(), imageToText: z.number()}).optional(),
        }),
      ),
    })
    .optional(),
});
export type LoggedStep = Readonly<z.infer<typeof stepSchema>>;

/** The log of a training. */
export interface TrainingCurves {
  readonly name: string;
  readonly steps: readonly LoggedStep[];
}

/**
 * @param rows   lines of a log, but for the first
 * @throws InputError `training-log-corrupt`
 */
export function parseTrainingLog(rows: readonly unknown[], name: string): TrainingCurves {
  const steps = rows.map((row, i) => {
    const parsed = stepSchema.safeParse(row);
    if (parsed.success) return parsed.data;
    const {path, message} = parsed.error.issues[0]!;
    throw new InputError('training-log-corrupt', `${name}: update line ${i + 1}: ${path.join('.')}: ${message}`);
  });
  return {name, steps};
}

/** A chart of a training: a name for its file, and the SVG. */
export interface TrainingChart {
  readonly name: string;
  readonly svg: string;
}

/** The most points of a line: a longer log is drawn as means of neighbouring updates. */
const MOST_POINTS = 400;

/** Losses, learning rate and norm, and validations, each against updates. */
export function trainingCharts({name, steps}: TrainingCurves): readonly TrainingChart[] {
  const of = (label: string, read: (step: LoggedStep) => number | null | undefined, dashed = false): Series => ({
    name: label,
    mark: 'line',
    dashed,
    points: thinned(
      steps.flatMap((step) => {
        const y = read(step);
        return typeof y === 'number' && Number.isFinite(y) ? [{x: step.update, y}] : [];
      }),
    ),
  });
  const depth = steps[0]?.layers.length ?? 0;
  const terms = [...new Set(steps.flatMap((step) => Object.keys(step.terms ?? {})))];
  const validated = steps.filter((step) => step.validation);
  const metric = validated[0]?.validation?.metric ?? '';
  const depths = [...new Set(validated.flatMap((step) => step.validation!.depths.map((each) => each.depth)))];
  const found = (label: string, read: (each: Depth) => number | undefined, at: number, dashed = false): Series => ({
    ...of(label, (step) => {
      const each = step.validation?.depths.find((one) => one.depth === at);
      return each && read(each);
    }),
    mark: 'line and points',
    dashed,
  });
  const chart = (title: string, y: string, series: readonly Series[], format: 'percent' | 'number' = 'number') =>
    lineChart({
      title: `${title}: ${name}`,
      x: {label: 'update', include: [0]},
      y: {label: y, format},
      series: series.filter(({points}) => points.length > 0),
      width: 560,
      height: 340,
    });
  const recalls = depths.flatMap((at) => [
    found(`text to picture, depth ${at}`, (each) => each.recall?.textToImage, at),
    found(`picture to text, depth ${at}`, (each) => each.recall?.imageToText, at, true),
  ]);
  return [
    {
      name: 'loss',
      svg: chart('Loss', 'nats', [
        of('loss', (step) => step.loss),
        ...terms.map((term) => of(term, (step) => step.terms?.[term], true)),
      ]),
    },
    ...(depth > 1
      ? [
          {
            name: 'layers',
            svg: chart(
              'Loss of every exit layer',
              'nats a token',
              Array.from({length: depth}, (_, layer) => of(`layer ${layer + 1}`, (step) => step.layers[layer])),
            ),
          },
        ]
      : []),
    {name: 'rate', svg: chart('Learning rate', 'learning rate', [of('learning rate', (step) => step.learningRate)])},
    {name: 'norm', svg: chart('Norm of the gradients', 'norm', [of('norm', (step) => step.norm)])},
    ...(validated.length > 0
      ? [
          {
            name: 'validation',
            svg: chart(
              'Validation',
              metric,
              depths.map((at) => found(`depth ${at}`, (each) => each.value, at)),
              metric === 'accuracy' ? 'percent' : 'number',
            ),
          },
        ]
      : []),
    ...(recalls.some(({points}) => points.length > 0)
      ? [{name: 'recall', svg: chart('Recall@1', 'recall@1', recalls, 'percent')}]
      : []),
  ];
}

type Depth = NonNullable<LoggedStep['validation']>['depths'][number];

/** What became of a training, in a sentence. */
export function trainingText({steps}: TrainingCurves): string {
  const last = steps.at(-1);
  if (!last) return 'No update is done yet.';
  const median = steps.map(({ms}) => ms).sort((a, b) => a - b)[Math.floor(steps.length / 2)]!;
  const best = steps
    .flatMap(({update, validation}) => (validation ? [{update, ...validation.depths.at(-1)!}] : []))
    .reduce<{update: number; value: number} | undefined>((a, b) => (a && a.value >= b.value ? a : b), undefined);
  const found = best ? ` Best at full depth: ${significant(best.value, 4)} after update ${best.update}.` : '';
  return `${last.update} updates, ${significant(median / 1000, 3)} s each (median); the last loss is ${significant(last.loss ?? Number.NaN, 4)}.${found}`;
}

function thinned(points: readonly {readonly x: number; readonly y: number}[]): {x: number; y: number}[] {
  const each = Math.ceil(points.length / MOST_POINTS);
  if (each <= 1) return [...points];
  return Array.from({length: Math.ceil(points.length / each)}, (_, i) => {
    const some = points.slice(i * each, (i + 1) * each);
    const mean = (of: 'x' | 'y'): number => some.reduce((sum, point) => sum + point[of], 0) / some.length;
    return {x: mean('x'), y: mean('y')};
  });
}
