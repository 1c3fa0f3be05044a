import {ofaConfigOfSize, type OfaSize} from '../../src/models/ofa/config.js';
import type {Answer} from '../../src/tasks/answer.js';
import type {ExitChoice} from '../../src/tasks/exits.js';
import type {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import {CLOCKS} from '../measure/clock.js';
import {forcedExits, noise, randomMue} from '../cases/random-mue.js';
import type {BenchResult, Row} from '../report/result-file.js';
import {quantile, summarize} from '../measure/statistics.js';

/** The tokens of a caption; the step of the end symbol comes on top. */
const TOKENS = 12;
const BEAMS = 5;
/** A hypothesis of 24 tokens with the prompt around it, about as many as in docs/reference/ofa-mue.md 13. */
const HYPOTHESIS = 'a man in a red shirt is riding a horse along the beach at night';

interface Variant {
  readonly group: 'caption' | 'entail';
  readonly name: string;
  readonly exit: ExitChoice;
}

const VARIANTS: readonly Variant[] = [
  {group: 'caption', name: 'full', exit: 'never'},
  {group: 'caption', name: 'exits', exit: forcedExits({'encoder.image': 2, decoder: 1})},
  {group: 'caption', name: "exits, release's schedule", exit: forcedExits({'encoder.image': 2, decoder: 1}, 'release')},
  {group: 'entail', name: 'full', exit: 'never'},
  {group: 'entail', name: 'exits', exit: forcedExits({'encoder.image': 2, decoder: 1})},
];

export interface BaseOptions {
  readonly rounds: number;
  readonly size?: OfaSize;
  readonly side?: number;
  readonly say?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Measures the authors' reference sizes: OFA-Base with random weights, a decoded 480 × 480 picture, a caption of 12
 * tokens by 5 beams and an entailment, at full depth and with image and decoder leaving after 2 layers and 1. Rounds
 * are interleaved; one round warms up.
 */
export async function measureBase({rounds, size = 'base', side = 480, say, signal}: BaseOptions): Promise<Row[]> {
  const began = performance.now();
  using mue = await randomMue({...ofaConfigOfSize(size, {train_mue: true}), patch_image_size: side});
  const load = performance.now() - began;
  say?.(`loaded in ${(load / 1e3).toFixed(1)} s`);
  const picture = noise(side);
  const seconds = VARIANTS.map((): number[] => []);
  const cpu = VARIANTS.map((): number[] => []);
  const last: Answer[] = [];
  for (let round = -1; round < rounds; round++) {
    for (const [i, variant] of VARIANTS.entries()) {
      signal?.throwIfAborted();
      const [start, busy] = [CLOCKS.wall(), CLOCKS.cpu()];
      last[i] = await ask(mue, picture, variant);
      const took = (CLOCKS.wall() - start) / 1e3;
      if (round >= 0) {
        seconds[i]!.push(took);
        cpu[i]!.push((CLOCKS.cpu() - busy) / 1e3);
      }
      say?.(
        `round ${round + 1} of ${rounds}: ${variant.group}, ${variant.name}: ${took.toFixed(2)} s${round < 0 ? ' (warm-up)' : ''}`,
      );
    }
  }
  return [
    {group: 'load', name: `OFA-${size}, weights made in memory`, unit: 's', ...summarize([load / 1e3])},
    ...VARIANTS.map(({group, name}, i): Row => {
      const {macs, tokens, layers} = last[i]!;
      const depths = Object.entries(layers).map(
        ([stack, {run}]) => `${stack} ${typeof run === 'number' ? run : run.join(',')}`,
      );
      return {
        group,
        name,
        unit: 's',
        ...summarize(seconds[i]!),
        cpu: quantile(cpu[i]!, 0.5),
        macs: macs.run,
        note: `${tokens.length} tokens; layers: ${depths.join('; ')}`,
      };
    }),
  ];
}

function ask(mue: OfaPipeline, picture: ReturnType<typeof noise>, {group, exit}: Variant): Promise<Answer> {
  return group === 'caption'
    ? mue.caption(picture, {
        exit,
        num_beams: BEAMS,
        max_new_tokens: TOKENS,
        min_length: TOKENS,
        no_repeat_ngram_size: 3,
      })
    : mue.entail(picture, HYPOTHESIS, {exit});
}

/** The JSON that `bench base --json` prints: medians in seconds. */
export function formatBase({rows, backend, threads}: BenchResult): string {
  const seconds = (group: string, name: string): number => {
    const median = rows.find((row) => row.group === group && row.name === name)?.median ?? Number.NaN;
    return Math.round(median * 1e4) / 1e4;
  };
  const task = (group: string): object => ({full: seconds(group, 'full'), exits: seconds(group, 'exits')});
  const medians = {caption: task('caption'), entail: task('entail'), backend, threads: threads ?? null};
  return `${JSON.stringify(medians)}\n`;
}
