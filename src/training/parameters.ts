import * as tf from '@tensorflow/tfjs';
import type {Block, StoredWeight} from '../nn/block.js';
import {UsageError} from '../runtime/errors.js';

/** A weight that is trained. */
interface Parameter {
  readonly weight: StoredWeight;
  readonly variable: tf.Variable;
}

/** Whether a name fits a pattern, in which `*` stands for any characters. */
export function fitsPattern(name: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}

/**
 * The weights that are trained: their values as plain arrays, the sums of their gradients, and the variables of the
 * module, which are borrowed.
 */
export class Parameters {
  readonly #list: readonly Parameter[];
  /** By the order of `names`; changed in place, then written back. */
  readonly values: readonly Float32Array[];
  readonly #sums: Float32Array[];
  readonly #met: boolean[];

  /**
   * @param freeze   patterns of the names that are left as they are
   * @throws UsageError `freeze-unknown` for a pattern that no name fits, `nothing-to-train` where none is left
   */
  constructor(module: Block, freeze: readonly string[]) {
    const variables = new Map(module.trainableWeights.map((weight) => [weight.originalName, weight.read()]));
    const weights = module.storedWeights().filter(({name}) => variables.has(name));
    for (const pattern of freeze)
      if (!module.storedWeights().some(({name}) => fitsPattern(name, pattern)))
        throw new UsageError('freeze-unknown', `no weight is called '${pattern}'`, {
          hint: 'Names are those of the checkpoint, such as decoder.layers.0.fc1.weight; * stands for any characters.',
        });
    this.#list = weights
      .filter(({name}) => !freeze.some((pattern) => fitsPattern(name, pattern)))
      .map((weight) => ({weight, variable: variables.get(weight.name) as tf.Variable}));
    if (this.#list.length === 0) throw new UsageError('nothing-to-train', 'every weight is frozen');
    this.values = this.#list.map(({variable}) => variable.dataSync().slice() as Float32Array);
    this.#sums = this.values.map(({length}) => new Float32Array(length));
    this.#met = this.values.map(() => false);
  }

  get weights(): readonly StoredWeight[] {
    return this.#list.map(({weight}) => weight);
  }

  get variables(): tf.Variable[] {
    return this.#list.map(({variable}) => variable);
  }

  /** How many numbers there are. */
  get count(): number {
    return this.values.reduce((sum, {length}) => sum + length, 0);
  }

  /** Adds gradients to the sums. @param gradients by the variables' names; taken over */
  async add(gradients: tf.NamedTensorMap): Promise<void> {
    for (const [i, {variable}] of this.#list.entries()) {
      const gradient = gradients[variable.name];
      if (!gradient) continue;
      const sum = this.#sums[i]!;
      const values = await gradient.data();
      for (let j = 0; j < sum.length; j++) sum[j]! += values[j]!;
      this.#met[i] = true;
    }
    tf.dispose(gradients);
  }

  /** Multiplies the sums. @returns their common norm √Σ g², after that */
  scale(factor: number): number {
    let squares = 0;
    for (const sum of this.#sums)
      for (let j = 0; j < sum.length; j++) {
        const g = sum[j]! * factor;
        sum[j] = g;
        squares += g * g;
      }
    return Math.sqrt(squares);
  }

  /** The sums; undefined for parameters that the loss did not depend on. Borrowed. */
  get gradients(): readonly (Float32Array | undefined)[] {
    return this.#sums.map((sum, i) => (this.#met[i] ? sum : undefined));
  }

  clear(): void {
    for (const sum of this.#sums) sum.fill(0);
    this.#met.fill(false);
  }

  /** Moves values into their bounds. @param bounds by the weights' names */
  clamp(bounds: ReadonlyMap<string, readonly [number, number]>): void {
    for (const [i, {weight}] of this.#list.entries()) {
      const [least, most] = bounds.get(weight.name) ?? [];
      if (least === undefined || most === undefined) continue;
      const values = this.values[i]!;
      for (const [j, value] of values.entries()) values[j] = Math.min(most, Math.max(least, value));
    }
  }

  /** Writes the values into the module's variables. */
  write(): void {
    for (const [i, {variable}] of this.#list.entries()) {
      // Some backends keep the array instead of copying it.
      const tensor = tf.tensor(this.values[i]!.slice(), variable.shape);
      variable.assign(tensor);
      tensor.dispose();
    }
  }
}
