import * as tf from '@tensorflow/tfjs';
import {WeightsError} from '../runtime/errors.js';
import {append} from '../runtime/extremes.js';

/** A variable of a tfjs layer. */
export type LayerVariable = ReturnType<tf.layers.Layer['addWeight']>;
/** A tfjs initializer, by name or by itself. */
export type Initializer = Parameters<tf.layers.Layer['addWeight']>[3];

/** Named arrays of a checkpoint. Shapes are as stored in a converted model (Linear [in, out], convolutions HWIO). */
export interface WeightSource {
  names(): readonly string[];
  shape(name: string): readonly number[] | undefined;
  read(name: string): Promise<Float32Array>;
}

/**
 * How a checkpoint's array is laid out in a converted model: a linear weight is transposed to [in, out], a convolution
 * goes from OIHW to HWIO, a tied embedding from [V, D] to [D, V]; everything else stays.
 */
export type WeightLayout = 'plain' | 'linear' | 'conv' | 'embedding-transposed';

/** A weight as files keep it. The blocks declare it, and everything that reads or writes weights reads it from them. */
export interface StoredWeight {
  /** The checkpoint's name, or one made of it where the checkpoint fuses several weights. */
  readonly name: string;
  /** Shape in a converted model. */
  readonly shape: readonly number[];
  readonly layout: WeightLayout;
  /** Value that may stand in where an old checkpoint lacks the weight; without one, lacking it is an error. */
  readonly neutral?: 0 | 1;
  /** A running statistic of a batch norm: stored, but no parameter. */
  readonly statistic?: true;
}

/** Declaration of a weight, besides its name and shape. */
export interface WeightDeclaration {
  /** Gives the value of a weight that is built without a file. */
  readonly initializer: Initializer;
  /** `plain` by default. */
  readonly layout?: WeightLayout;
  readonly neutral?: 0 | 1;
  /** A running statistic, which no gradient changes. */
  readonly statistic?: true;
}

/** One entry of a block: a weight of its own, or a child. Their order is the order in files. */
type Entry =
  | {readonly weight: string; readonly shape: readonly number[]; readonly declaration: WeightDeclaration}
  | {readonly child: Block; readonly name: string};

/**
 * A tfjs layer with named children and named weights, both called as in the checkpoint: the tree of blocks *is* the
 * weight map. (tfjs-layers does not track the weights of sub-layers; this does, with their full path.)
 *
 * A subclass declares weights and children in its constructor, in the order in which files keep them, and gives a typed
 * `forward`. Making a block allocates nothing: `load` fills it from a source, `build` with fresh values.
 */
export abstract class Block<C extends object = object> extends tf.layers.Layer {
  /**
   * The sizes and flags that the block was made from; `getConfig` gives them back, so that tfjs can save and restore
   * the layer.
   */
  readonly config: Readonly<C>;
  readonly #entries: Entry[] = [];
  readonly #variables = new Map<string, LayerVariable>();

  constructor(config: C) {
    super('name' in config && typeof config.name === 'string' ? {name: config.name} : {});
    this.config = config;
  }

  /** Registers a child under its name in the checkpoint. With an empty name its weights stand among this block's. */
  protected child<B extends Block>(name: string, block: B): B {
    this.#entries.push({child: block, name});
    return block;
  }

  protected declare(name: string, shape: readonly number[], declaration: WeightDeclaration): void {
    this.#entries.push({weight: name, shape, declaration});
  }

  /**
   * A weight's value, borrowed.
   * @throws Error where the block was neither loaded nor built: a mistake of the code around it
   */
  protected weight<T extends tf.Tensor = tf.Tensor>(name: string): T {
    const variable = this.#variables.get(name);
    if (!variable) throw new Error(`${this.getClassName()}: weight '${name}' was used before the layer was built`);
    return variable.read() as T;
  }

  /** The variable of a weight, borrowed, which may be assigned to. */
  protected variable(name: string): tf.Variable {
    return this.weight(name) as tf.Variable;
  }

  /** Every weight that `load` reads, in the order of files. @param path of this block */
  storedWeights(path = ''): StoredWeight[] {
    return this.#entries.flatMap((entry): StoredWeight[] => {
      if ('child' in entry) return entry.child.storedWeights(joinPath(path, entry.name));
      const {initializer: _, layout = 'plain', ...rest} = entry.declaration;
      return [{name: joinPath(path, entry.weight), shape: entry.shape, layout, ...rest}];
    });
  }

  /** Values of the declared weights, by their names, read from a source's arrays. */
  protected async ownValues(source: WeightSource, path: string): Promise<ReadonlyMap<string, Float32Array>> {
    const values = new Map<string, Float32Array>();
    for (const entry of this.#entries)
      if ('weight' in entry) values.set(entry.weight, await source.read(joinPath(path, entry.weight)));
    return values;
  }

  /**
   * Fills this block and its children from a source, one array at a time.
   * @throws WeightsError listing every name that is missing, left over or of another shape; nothing is allocated then
   */
  async load(source: WeightSource): Promise<void> {
    checkWeights(this.storedWeights(), source);
    try {
      await this.#fill(source, '');
    } catch (error) {
      this.disposeWeights();
      throw error;
    }
  }

  async #fill(source: WeightSource, path: string): Promise<void> {
    const values = await this.ownValues(source, path);
    for (const entry of this.#entries) {
      if ('child' in entry) await entry.child.#fill(source, joinPath(path, entry.name));
      else this.#add(path, entry, new ArrayInitializer(values.get(entry.weight)!));
    }
    this.built = true;
  }

  /** Builds with fresh random weights; tfjs calls it before the first `apply`. */
  override build(): void {
    this.#buildFresh('');
  }

  #buildFresh(path: string): void {
    if (this.built) return;
    for (const entry of this.#entries) {
      if ('child' in entry) entry.child.#buildFresh(joinPath(path, entry.name));
      else this.#add(path, entry, entry.declaration.initializer);
    }
    this.built = true;
  }

  #add(path: string, {weight, shape, declaration}: Extract<Entry, {weight: string}>, initializer: Initializer): void {
    const trainable = declaration.statistic !== true;
    const name = joinPath(path, weight);
    this.#variables.set(weight, this.addWeight(name, [...shape], 'float32', initializer, undefined, trainable));
  }

  /** As a tfjs layer: `forward` of the first input, with the others as a list. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [x, ...others] = asList(inputs);
    return this.forward(x!, ...((others.length > 0 ? [others] : []) as never[]));
  }

  /** Shape of the first input; blocks that change it say so. */
  override computeOutputShape(shape: tf.Shape | tf.Shape[]): tf.Shape {
    return firstShape(shape);
  }

  /** Computes the block's output; subclasses type it. */
  abstract forward(x: tf.Tensor, ...rest: never[]): tf.Tensor;

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
    return #entries in this ? this.#entries.flatMap((entry) => ('child' in entry ? of(entry.child) : [])) : [];
  }

  override set trainable(value: boolean) {
    super.trainable = value;
    if (#entries in this) for (const entry of this.#entries) if ('child' in entry) entry.child.trainable = value;
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

/** Inputs as tfjs passes them, one tensor or a list, as a list. */
export function asList(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor[] {
  return Array.isArray(inputs) ? inputs : [inputs];
}

/** Shape of the first input. */
export function firstShape(shape: tf.Shape | tf.Shape[]): tf.Shape {
  return (Array.isArray(shape[0]) ? shape[0] : shape) as tf.Shape;
}

/** A path in the checkpoint, of which either part may be empty. */
export function joinPath(path: string, name: string): string {
  return path && name ? `${path}.${name}` : path || name;
}

/** @throws WeightsError naming everything that does not match, both ways, at once. */
function checkWeights(weights: readonly StoredWeight[], source: WeightSource): void {
  const known = new Set(weights.map(({name}) => name));
  const problems = weights.flatMap(({name, shape}) => {
    const got = source.shape(name);
    if (!got) return [`'${name}' is missing`];
    return got.length === shape.length && got.every((n, i) => n === shape[i])
      ? []
      : [`'${name}' is [${got}], but the configuration asks for [${shape}]`];
  });
  append(
    problems,
    source
      .names()
      .filter((name) => !known.has(name))
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
