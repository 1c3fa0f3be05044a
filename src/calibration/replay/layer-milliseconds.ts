import {mean, sampleCovariance as covariance} from 'simple-statistics';
import {type EvaluationRow, rowLayers} from '../../evaluation/row.js';
import type {StackName} from '../../exit/policy.js';
import {UsageError} from '../../runtime/errors.js';
import {type ByStack, lastStack, mapStacks, type RecordedStacks, stacksBefore} from '../stacks.js';

/**
 * Time that a layer takes on one machine: milliseconds = base + Σ layers · milliseconds of a layer. A model of measured
 * rows, not a measurement.
 */
export interface LayerMilliseconds {
  readonly base: number;
  /** Milliseconds of one layer of each stack. */
  readonly layers: ByStack<number>;
  /** Rows that it was fitted to, and the fraction of their variance that it explains. */
  readonly rows: number;
  readonly explained: number;
}

/**
 * Least squares over the rows of evaluations: encoding on the layers of the stacks before the last, decoding on those of
 * the last. No layer takes less than nothing: where noise says so, it counts as free.
 * @throws UsageError `timings-alike` if the depth of the first or the last stack is the same in all rows,
 *   `timings-differ` if the rows are of a model with other stacks
 */
export function layerMilliseconds(rows: readonly EvaluationRow[], stacks: RecordedStacks): LayerMilliseconds {
  const [first, last] = [stacks[0], lastStack(stacks)];
  const depths = (stack: StackName): number[] =>
    rows.map((row) => {
      const layers = rowLayers(row, stack);
      if (layers === undefined)
        throw new UsageError('timings-differ', `the timed rows have no layers of '${stack}': another model ran them`);
      return layers;
    });
  const run = mapStacks(stacks, depths);
  for (const {stack} of [first, last]) {
    const values = run[stack]!;
    if (values.every((x) => x === values[0]))
      throw new UsageError(
        'timings-alike',
        `all timed rows ran ${values[0] ?? 'no'} layers of '${stack}': what one more costs cannot be told`,
        {
          hint: 'Name evaluations with and without exits: mue evaluate --exit never, and --exit model.',
        },
      );
  }
  const encode = rows.map(({ms}) => ms.image + ms.preprocess + ms.encode);
  const decode = rows.map(({ms}) => ms.decode);
  const encoder = nonNegativeFit(
    encode,
    stacksBefore(stacks).map(({stack}) => run[stack]!),
  );
  const decoder = nonNegativeFit(decode, [run[last.stack]!]);
  const slopes = [...encoder.slopes, ...decoder.slopes];
  const base = encoder.base + decoder.base;
  const fitted = rows.map((_, i) => stacks.reduce((sum, {stack}, k) => sum + slopes[k]! * run[stack]![i]!, base));
  const total = encode.map((x, i) => x + decode[i]!);
  const centre = mean(total);
  const variance = total.reduce((sum, x) => sum + (x - centre) ** 2, 0);
  const left = total.reduce((sum, x, i) => sum + (x - fitted[i]!) ** 2, 0);
  return {
    base,
    layers: mapStacks(stacks, (_stack, _depth, k) => slopes[k]!),
    rows: rows.length,
    explained: variance > 0 ? 1 - left / variance : 0,
  };
}

interface Fit {
  readonly base: number;
  readonly slopes: readonly number[];
}

/** y ≈ base + Σ slope · x with slopes ≥ 0, for one or two x; one that never varies has no slope. */
function nonNegativeFit(y: readonly number[], xs: readonly (readonly number[])[]): Fit {
  const free = xs.map((_, k) => k).filter((k) => covariance(xs[k]!, xs[k]!) > 0);
  const slopes = solve(
    y,
    free.map((k) => xs[k]!),
  );
  const worst = slopes.findIndex((slope) => slope < 0);
  if (worst >= 0) {
    const kept = xs.map((x, k) => (k === free[worst] ? x.map(() => 0) : x));
    return nonNegativeFit(y, kept);
  }
  const all = xs.map((_, k) => slopes[free.indexOf(k)] ?? 0);
  return {base: mean(y) - all.reduce((sum, slope, k) => sum + slope * mean(xs[k]!), 0), slopes: all};
}

function solve(y: readonly number[], xs: readonly (readonly number[])[]): number[] {
  const [a, b] = xs;
  if (a === undefined) return [];
  const alone = (x: readonly number[]): number => covariance(x, y) / covariance(x, x);
  if (b === undefined) return [alone(a)];
  const [aa, bb, ab] = [covariance(a, a), covariance(b, b), covariance(a, b)];
  const determinant = aa * bb - ab * ab;
  // Depths that always move together share what they cost: the first stands for both.
  if (determinant <= 1e-9 * aa * bb) return [alone(a), 0];
  const [ay, by] = [covariance(a, y), covariance(b, y)];
  return [(ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant];
}
