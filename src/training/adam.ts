/** Settings of Adam (Kingma and Ba 2015). */
export interface AdamOptions {
  /** Decay rates of the two moments; 0.9 and 0.999 by default. */
  readonly betas?: readonly [number, number];
  /** 1e-8 by default. */
  readonly epsilon?: number;
  /** Decoupled decay of the parameters (AdamW, Loshchilov and Hutter 2019), for each array its own; 0 by default. */
  readonly decay?: readonly number[];
}

/** What Adam has seen so far. */
export interface AdamState {
  /** Running means of the gradients and of their squares, an array for each array of parameters. */
  readonly first: readonly Float32Array[];
  readonly second: readonly Float32Array[];
  readonly updates: number;
}

/**
 * Adam over plain arrays: a loop over numbers takes a third of the time of tfjs' own optimizer, which runs a dozen
 * operations a variable.
 */
export class Adam {
  readonly #first: readonly Float32Array[];
  readonly #second: readonly Float32Array[];
  readonly #betas: readonly [number, number];
  readonly #epsilon: number;
  readonly #decay: readonly number[];
  #updates = 0;

  /** @param sizes of the parameters' arrays */
  constructor(sizes: readonly number[], {betas = [0.9, 0.999], epsilon = 1e-8, decay = []}: AdamOptions = {}) {
    this.#first = sizes.map((size) => new Float32Array(size));
    this.#second = sizes.map((size) => new Float32Array(size));
    this.#betas = betas;
    this.#epsilon = epsilon;
    this.#decay = decay;
  }

  /** Borrowed. */
  get state(): AdamState {
    return {first: this.#first, second: this.#second, updates: this.#updates};
  }

  /** Goes on from a state of arrays of the same sizes; copied. */
  restore({first, second, updates}: AdamState): void {
    for (const [i, m] of this.#first.entries()) m.set(first[i]!);
    for (const [i, v] of this.#second.entries()) v.set(second[i]!);
    this.#updates = updates;
  }

  /**
   * Changes the parameters in place.
   * @param gradients   an array for each array of parameters; one without is left as it is, without decay, too
   */
  update(
    parameters: readonly Float32Array[],
    gradients: readonly (Float32Array | undefined)[],
    learningRate: number,
  ): void {
    this.#updates++;
    const [b1, b2] = this.#betas;
    const [c1, c2] = [1 - b1 ** this.#updates, 1 - b2 ** this.#updates];
    for (const [i, values] of parameters.entries()) {
      const g = gradients[i];
      if (!g) continue;
      const kept = 1 - learningRate * (this.#decay[i] ?? 0);
      const [m, v] = [this.#first[i]!, this.#second[i]!];
      for (let j = 0; j < values.length; j++) {
        m[j] = b1 * m[j]! + (1 - b1) * g[j]!;
        v[j] = b2 * v[j]! + (1 - b2) * g[j]! ** 2;
        values[j] = kept * values[j]! - (learningRate * (m[j]! / c1)) / (Math.sqrt(v[j]! / c2) + this.#epsilon);
      }
    }
  }
}
