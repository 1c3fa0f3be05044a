import * as tf from '@tensorflow/tfjs';
import {lineChart} from '../../src/charts/line.js';
import {never} from '../../src/exit/policy.js';
import {hostMemory} from '../../src/runtime/kernels.js';
import {type OfaSize, ofaConfigOfSize} from '../../src/models/ofa/config.js';
import type {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import {CLOCKS} from '../measure/clock.js';
import {finished} from '../measure/cases.js';
import {noise, randomMue} from '../cases/random-mue.js';
import type {BenchResult, Row} from '../report/result-file.js';
import {growthExponent, quantile, summarize} from '../measure/statistics.js';

/** A series of measurements that vary one size. */
interface Sweep {
  readonly group: string;
  readonly values: readonly number[];
  run(mue: OfaPipeline, value: number): Promise<number>;
}

const SIDES = [224, 288, 352, 416, 480, 544, 608, 672];
/** The side of the picture where something else is varied, small, so that the difference shows. */
const SMALL = 224;

/**
 * Runs one encoding at full depth.
 * @returns its MACs
 */
async function encode(mue: OfaPipeline, side: number, tokens: number): Promise<number> {
  const pixels = tf.zeros([1, side, side, 3]) as tf.Tensor4D;
  using encoded = await mue.model.encode({pixels, prompts: [words(tokens)]}, never);
  await finished(encoded.states);
  pixels.dispose();
  return encoded.runs[0]!.macs.run;
}

async function caption(mue: OfaPipeline, beams: number, tokens: number, pictures = 1): Promise<number> {
  const options = {
    exit: 'never',
    num_beams: beams,
    max_new_tokens: tokens,
    min_length: tokens,
    no_repeat_ngram_size: 0,
  } as const;
  const picture = noise(mue.model.config.patch_image_size);
  const answers = await mue.captionAll(new Array<typeof picture>(pictures).fill(picture), options);
  return answers.reduce((sum, {macs}) => sum + macs.run, 0);
}

function words(count: number): number[] {
  return [0, ...Array.from({length: count - 2}, (_, i) => 100 + i), 2];
}

const SWEEPS: readonly Sweep[] = [
  {group: 'prompt tokens', values: [8, 16, 32, 64, 128, 256], run: (mue, tokens) => encode(mue, SMALL, tokens)},
  {group: 'beams', values: [1, 2, 3, 5, 8, 12], run: (mue, beams) => caption(mue, beams, 12)},
  {group: 'written tokens', values: [4, 8, 16, 32, 64], run: (mue, tokens) => caption(mue, 5, tokens)},
  {group: 'pictures at once', values: [1, 2, 4, 8], run: (mue, pictures) => caption(mue, 5, 8, pictures)},
];

export interface GrowthOptions {
  readonly size: OfaSize;
  readonly rounds: number;
  readonly sides?: readonly number[];
  readonly say?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Measures time and memory of an answer against the sizes that it grows with, at full depth, with random weights. A
 * value has two rows: milliseconds, and the most bytes of tensors beyond the model's own that lived at once.
 */
export async function measureGrowth({size, rounds, sides = SIDES, say, signal}: GrowthOptions): Promise<Row[]> {
  const config = ofaConfigOfSize(size, {train_mue: true});
  const rows: Row[] = [];
  const sweep = async (group: string, value: number, run: () => Promise<number>): Promise<void> => {
    signal?.throwIfAborted();
    await run();
    const [times, cpu]: [number[], number[]] = [[], []];
    let macs = 0;
    for (let i = 0; i < rounds; i++) {
      const [began, busy] = [CLOCKS.wall(), CLOCKS.cpu()];
      macs = await run();
      times.push(CLOCKS.wall() - began);
      cpu.push(CLOCKS.cpu() - busy);
    }
    const before = tf.memory().numBytes;
    const {peakBytes} = await tf.profile(async () => {
      await run();
      return [] as unknown as tf.TensorContainer;
    });
    const name = String(value);
    const bytes = (peakBytes - before) / 2 ** 20;
    rows.push(
      {group, name, unit: 'ms', ...summarize(times), ...(hostMemory() ? {cpu: quantile(cpu, 0.5)} : {}), macs},
      {group, name, unit: 'MiB', ...summarize([bytes]), macs},
    );
    say?.(
      `${group} ${name}: ${summarize(times).median.toFixed(0)} ms, ${(macs / 1e9).toFixed(2)} GMAC, ${bytes.toFixed(0)} MiB`,
    );
  };
  for (const side of sides) {
    // The model's own size, so that biases are made once and kept, as for every model in use.
    using mue = await randomMue({...config, patch_image_size: side});
    await sweep('image side', side, () => encode(mue, side, 8));
  }
  using mue = await randomMue({...config, patch_image_size: SMALL});
  for (const {group, values, run} of SWEEPS)
    for (const value of values) await sweep(group, value, () => run(mue, value));
  return rows;
}

/** Memory, or time: processor time where this process computes, which other work on the machine disturbs least. */
function cost({cpu, median}: Row): number {
  return cpu ?? median;
}

/**
 * The exponents by which time and memory grow with the multiply-accumulates; up to 1 they grow no faster than the
 * mathematics.
 */
export function growthExponents(
  rows: readonly Row[],
): {readonly group: string; readonly time: number; readonly memory: number}[] {
  return [...new Set(rows.map(({group}) => group))].map((group) => {
    const points = (unit: Row['unit']): {x: number; y: number}[] =>
      rows
        .filter((row) => row.group === group && row.unit === unit)
        .map((row) => ({x: row.macs ?? Number.NaN, y: cost(row)}));
    return {group, time: growthExponent(points('ms')), memory: growthExponent(points('MiB'))};
  });
}

/** Milliseconds and MiB against MACs, each as a multiple of the smallest: nothing may rise above the diagonal. */
export function growthChart({rows, device, settings}: BenchResult): string {
  const groups = [...new Set(rows.map(({group}) => group))];
  const series = groups.flatMap((group) =>
    (['ms', 'MiB'] as const).map((unit) => {
      const points = rows.filter((row) => row.group === group && row.unit === unit);
      const first = points[0]!;
      return {
        name: `${group}: ${unit === 'ms' ? 'time' : 'memory'}`,
        mark: 'line and points' as const,
        dashed: unit === 'MiB',
        points: points.map((row) => ({
          x: row.macs! / first.macs!,
          y: cost(row) / cost(first),
          title: `${group} ${row.name}: ${cost(row).toFixed(1)} ${unit}`,
        })),
      };
    }),
  );
  const most = Math.max(...series.flatMap(({points}) => points.map(({x}) => x)));
  return lineChart({
    title: 'Time and memory against multiply-accumulates',
    subtitle: `OFA-${settings.size}, random weights, full depth, ${device}; each as a multiple of its smallest`,
    x: {label: 'multiply-accumulates (×)', include: [1]},
    y: {label: 'time, memory (×)', include: [0, 1]},
    series: [
      ...series,
      {
        name: 'as the mathematics',
        mark: 'line',
        points: [
          {x: 1, y: 1},
          {x: most, y: most},
        ],
      },
    ],
    width: 860,
    height: 560,
  });
}
