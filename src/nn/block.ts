import * as tf from '@tensorflow/tfjs';
import {WeightsError} from '../runtime/errors.js';

type LayerVariable = ReturnType<tf.layers.Layer['addWeight']>;
type Initializer = Parameters<tf.layers.Layer['addWeight']>[3];

/** Named arrays of a checkpoint. Shapes are as stored in a converted model (Linear [in, out], convolutions HWIO). */
export interface WeightSource {
  names(): readonly string[];
  shape(name: string): readonly number[] | undefined;
  read(name: string): Promise<Float32Array>;
}

/** A weight that a block asks a source for. */
export interface WeightRequest {
  readonly name: string;
  readonly shape: readonly number[];
}

interface Declared {
  readonly shape: readonly number[];
  readonly initializer: Initializer;
  readonly trainable: boolean;
}

/**
 * A tfjs layer with named children and named weights, both called as in the checkpoint: the tree of blocks *is* the
 * weight map. (tfjs-layers does not track the weights of sub-layers; this does, with their full path.)
 *
 * Subclasses declare weights and children in the constructor and give a typed `forward`, to which `call` delegates.
 */
export abstract class Block<C extends object = object> extends tf.layers.Layer {
  /** What the block was made from; `getConfig` gives it back, so that tfjs can save and restore the layer. */
  readonly config: Readonly<C>;
  readonly #children = new Map<string, {readonly name: string; readonly block: Block}>();
  readonly #declared = new Map<string, Declared>();
  readonly #own = new Map<string, LayerVariable>();

  constructor(config: C) {
    super('name' in config && typeof config.name === 'string' ? {name: config.name} : {});
    this.config = config;
  }

  /**
   * Registers a child under its name in the checkpoint; an empty name adds no path element (the child's weights stand
   * among this block's), `key` then tells several apart.
   */
  protected child<B extends Block>(name: string, block: B, key: string = name): B {
    this.#children.set(key, {name, block});
    return block;
  }

  protected declare(name: string, shape: readonly number[], initializer: Initializer, trainable = true): void {
    this.#declared.set(name, {shape, initializer, trainable});
  }

  /** A weight's value, borrowed. */
  protected weight<T extends tf.Tensor = tf.Tensor>(name: string): T {
    const variable = this.#own.get(name);
    if (!variable) throw new Error(`${this.getClassName()}: weight '${name}' was used before the layer was built`);
    return variable.read() as T;
  }

  /** Everything that `load` reads, in order, with full paths. */
  requests(path = ''): WeightRequest[] {
    return [
      ...this.ownRequests(path),
      ...[...this.#children.values()].flatMap(({name, block}) => block.requests(joinPath(path, name))),
    ];
  }

  /** What this block alone reads; differs from what it declares where arrays are combined (see ConvNorm). */
  protected ownRequests(path: string): WeightRequest[] {
    return [...this.#declared].map(([name, {shape}]) => ({name: joinPath(path, name), shape}));
  }

  /** The values of the declared weights, from the source's arrays. */
  protected async ownValues(source: WeightSource, path: string): Promise<ReadonlyMap<string, Float32Array>> {
    const values = new Map<string, Float32Array>();
    for (const name of this.#declared.keys()) values.set(name, await source.read(joinPath(path, name)));
    return values;
  }

  /**
   * Builds this block and its children from a source, one array at a time.
   * @throws WeightsError listing every name that is missing, left over or of another shape; nothing is allocated then.
   */
  async load(source: WeightSource): Promise<void> {
    checkRequests(this.requests(), source);
    try {
      await this.#fill(source, '');
    } catch (error) {
      this.disposeWeights();
      throw error;
    }
  }

  async #fill(source: WeightSource, path: string): Promise<void> {
    const values = await this.ownValues(source, path);
    for (const [name, {shape, trainable}] of this.#declared) {
      const array = values.get(name);
      if (!array) throw new Error(`no value for ${joinPath(path, name)}`);
      this.#add(joinPath(path, name), name, shape, new ArrayInitializer(array), trainable);
    }
    for (const {name, block} of this.#children.values()) await block.#fill(source, joinPath(path, name));
    this.#ready();
  }

  /** Builds with fresh random weights; tfjs calls it before the first `apply`. */
  override build(): void {
    this.#buildFresh('');
  }

  #buildFresh(path: string): void {
    if (this.built) return;
    for (const [name, {shape, initializer, trainable}] of this.#declared)
      this.#add(joinPath(path, name), name, shape, initializer, trainable);
    for (const {name, block} of this.#children.values()) block.#buildFresh(joinPath(path, name));
    this.#ready();
  }

  #add(fullName: string, name: string, shape: readonly number[], initializer: Initializer, trainable: boolean): void {
    this.#own.set(name, this.addWeight(fullName, [...shape], 'float32', initializer, undefined, trainable));
  }

  #ready(): void {
    this.built = true;
  }

  // tfjs reads and writes these in the base class's constructor, before the fields above exist.
  override get trainableWeights(): LayerVariable[] {
    return [...super.trainableWeights, ...this.#childWeights((child) => child.trainableWeights)];
  }
  override set trainableWeights(weights: LayerVariable[]) {
    super.trainableWeights = weights;
  }
  override get nonTrainableWeights(): LayerVariable[] {
    return [...super.nonTrainableWeights, ...this.#childWeights((child) => child.nonTrainableWeights)];
  }
  override set nonTrainableWeights(weights: LayerVariable[]) {
    super.nonTrainableWeights = weights;
  }

  #childWeights(of: (child: Block) => LayerVariable[]): LayerVariable[] {
    return #children in this ? [...this.#children.values()].flatMap(({block}) => of(block)) : [];
  }

  override set trainable(value: boolean) {
    super.trainable = value;
    if (#children in this) for (const {block} of this.#children.values()) block.trainable = value;
  }
  override get trainable(): boolean {
    return super.trainable;
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {...super.getConfig(), ...(this.config as tf.serialization.ConfigDict)};
  }

  override disposeWeights(): number {
    const weights = this.weights;
    for (const weight of weights) weight.dispose();
    return weights.length;
  }

  /** Frees the weights at once, whether or not the layer was ever applied. */
  [Symbol.dispose](): void {
    if (this.built) this.disposeWeights();
    this.built = false;
  }
}

/** Hands an array to `addWeight` as a tensor. */
class ArrayInitializer {
  constructor(private readonly array: Float32Array) {}
  apply(shape: number[]): tf.Tensor {
    return tf.tensor(this.array, shape, 'float32');
  }
  static className = 'ArrayInitializer';
  fromConfigUsesCustomObjects(): boolean {
    return false;
  }
  getClassName(): string {
    return ArrayInitializer.className;
  }
  getConfig(): tf.serialization.ConfigDict {
    return {};
  }
}

/** tfjs passes one tensor or a list; the input at `index`. */
export function input<T extends tf.Tensor = tf.Tensor>(inputs: tf.Tensor | tf.Tensor[], index = 0): T {
  const x = Array.isArray(inputs) ? inputs[index] : index === 0 ? inputs : undefined;
  if (!x) throw new Error(`a layer was called without its input ${index}`);
  return x as T;
}

/** A path in the checkpoint, of which either part may be empty. */
export function joinPath(path: string, name: string): string {
  return path && name ? `${path}.${name}` : path || name;
}

/** @throws WeightsError naming everything that does not match, both ways, at once. */
function checkRequests(requests: readonly WeightRequest[], source: WeightSource): void {
  const asked = new Set(requests.map(({name}) => name));
  const problems = requests.flatMap(({name, shape}) => {
    const got = source.shape(name);
    if (!got) return [`'${name}' is missing`];
    return got.length === shape.length && got.every((n, i) => n === shape[i])
      ? []
      : [`'${name}' is [${got}], but the configuration asks for [${shape}]`];
  });
  problems.push(
    ...source
      .names()
      .filter((name) => !asked.has(name))
      .map((name) => `'${name}' is not a weight of this model`),
  );
  if (problems.length === 0) return;
  const shown = problems.slice(0, 20);
  throw new WeightsError(
    'weights-mismatch',
    `The weights do not fit the configuration: ${shown.join('; ')}${problems.length > 20 ? `; and ${problems.length - 20} more` : ''}.`,
    {
      hint: 'Convert the checkpoint again with `mue convert`, or check that config.json belongs to these weights.',
    },
  );
}
