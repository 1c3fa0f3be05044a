/** Settings of Adam (Kingma and Ba 2015). */
export interface AdamOptions {
  /** Decay rates of the two moments; 0.9 and 0.999 by default. */
  readonly betas?: readonly [number, number];
  /** 1e-8 by default. */
  readonly epsilon?: number;
  /** Decoupled decay of the parameters (AdamW, Loshchilov and Hutter 2019), for each array its own; 0 by default. */
  readonly decay?: readonly number[];
}

/** Adam over plain arrays: for small models a loop over numbers is quicker than tens of tensor operations. */
export class Adam {
  readonly #first: readonly Float64Array[];
  readonly #second: readonly Float64Array[];
  readonly #betas: readonly [number, number];
  readonly #epsilon: number;
  readonly #decay: readonly number[];
  #updates = 0;

  /** @param sizes of the parameters' arrays */
  constructor(sizes: readonly number[], {betas = [0.9, 0.999], epsilon = 1e-8, decay = []}: AdamOptions = {}) {
    this.#first = sizes.map((size) => new Float64Array(size));
    this.#second = sizes.map((size) => new Float64Array(size));
    this.#betas = betas;
    this.#epsilon = epsilon;
    this.#decay = decay;
  }

  /** Changes the parameters in place. @param gradients an array for each array of parameters */
  update(parameters: readonly Float32Array[], gradients: readonly Float32Array[], learningRate: number): void {
    this.#updates++;
    const [b1, b2] = this.#betas;
    const [c1, c2] = [1 - b1 ** this.#updates, 1 - b2 ** this.#updates];
    for (const [i, values] of parameters.entries()) {
      const kept = 1 - learningRate * (this.#decay[i] ?? 0);
      const [m, v, g] = [this.#first[i]!, this.#second[i]!, gradients[i]!];
      for (let j = 0; j < values.length; j++) {
        m[j] = b1 * m[j]! + (1 - b1) * g[j]!;
        v[j] = b2 * v[j]! + (1 - b2) * g[j]! ** 2;
        values[j] = kept * values[j]! - (learningRate * (m[j]! / c1)) / (Math.sqrt(v[j]! / c2) + this.#epsilon);
      }
    }
  }
}
