import {checkArguments, COUNT, fields, listOf, oneOf} from '../runtime/check-arguments.js';
import * as tf from '@tensorflow/tfjs';
import {Block} from './block.js';
import {gatherRows} from './gather-rows.js';
import {Linear} from './linear.js';

// N states, D width, r width of a bottleneck

export const ADAPTER_KINDS = ['bottleneck', 'affine'] as const;
/** `bottleneck`: x + U·relu(D·x + d) + u, through r numbers. `affine`: x + A·x + a. */
export type AdapterKind = (typeof ADAPTER_KINDS)[number];

export interface ExitAdapterConfig {
  /** D */
  readonly size: number;
  readonly kind: AdapterKind;
  /** r; an affine adapter has none. */
  readonly width: number;
}

/**
 * Maps the state after an early layer to what the last layer's state would say: it stands between the exit state and
 * the shared final norm and head ("tuned lens", Belrose et al. 2023, https://arxiv.org/abs/2303.08112).
 */
export class ExitAdapter extends Block<ExitAdapterConfig> {
  static className = 'MueExitAdapter';
  /** @internal */
  readonly down: Linear | undefined;
  /** @internal */
  readonly up: Linear;

  constructor(config: ExitAdapterConfig) {
    super(config);
    const {size, kind, width} = config;
    this.down = kind === 'bottleneck' ? this.child('down', new Linear({inputSize: size, units: width})) : undefined;
    this.up = this.child('up', new Linear({inputSize: this.down ? width : size, units: size}));
  }

  /**
   * @param x   [..., D], borrowed
   * @returns   the same shape, the caller's
   */
  forward<T extends tf.Tensor>(x: T): T {
    return tf.tidy(() => x.add(this.up.forward(this.down ? tf.relu(this.down.forward(x)) : x)) as T);
  }

  /** Multiply-accumulates for one state. */
  get macs(): number {
    const {size, kind, width} = this.config;
    return kind === 'bottleneck' ? 2 * size * width : size ** 2;
  }
}
tf.serialization.registerClass(ExitAdapter);

export interface ExitAdaptersConfig extends ExitAdapterConfig {
  /** The layers whose states are adapted, counted from 1, ascending; never the last one. */
  readonly layers: readonly number[];
}

/** The exit adapters of one stack: `layers.1.down.weight`, … Layers without one, the last above all, stay as they are. */
export class ExitAdapters extends Block<ExitAdaptersConfig> {
  static className = 'MueExitAdapters';
  readonly #adapters: ReadonlyMap<number, ExitAdapter>;

  constructor(config: ExitAdaptersConfig) {
    checkArguments('new ExitAdapters', {
      config: [config, fields({size: COUNT, kind: oneOf(ADAPTER_KINDS), width: COUNT, layers: listOf(COUNT)})],
    });
    super(config);
    const {size, kind, width, layers} = config;
    this.#adapters = new Map(
      layers.map((layer) => [layer, this.child(`layers.${layer}`, new ExitAdapter({size, kind, width}))]),
    );
  }

  /** The adapter of the state after `layer` layers, borrowed. */
  at(layer: number): ExitAdapter | undefined {
    return this.#adapters.get(layer);
  }

  /** Multiply-accumulates of adapting one state after `layer` layers. */
  macs(layer: number): number {
    return this.at(layer)?.macs ?? 0;
  }

  /**
   * Adapts states that are on their way to the head.
   * @param x        [N, …, D], borrowed
   * @param layers   how many layers gave each row; fewer numbers than rows are those of equal shares of the rows
   * @returns        the same shape, the caller's
   */
  adapt<T extends tf.Tensor>(x: T, layers: readonly number[]): T {
    return tf.tidy(() => {
      const count = x.shape[0]!;
      const rows = new Map<ExitAdapter | undefined, number[]>();
      for (let row = 0; row < count; row++) {
        const adapter = this.at(layers[Math.floor((row * layers.length) / count)]!);
        const own = rows.get(adapter);
        if (own) own.push(row);
        else rows.set(adapter, [row]);
      }
      const [[first] = [undefined]] = rows;
      if (rows.size <= 1) return first ? first.forward(x) : x.clone();
      const parts = [...rows].map(([adapter, own]) => {
        const states = gatherRows(x, own);
        return adapter ? adapter.forward(states) : states;
      });
      const order = [...rows.values()].flat();
      const places = new Array<number>(count);
      for (const [place, row] of order.entries()) places[row] = place;
      return gatherRows(tf.concat(parts), places);
    });
  }

  /** As a tfjs layer, which knows of no layer numbers: the states of the first adapted layer. */
  forward<T extends tf.Tensor>(x: T): T {
    return this.adapt(x, this.config.layers.slice(0, 1));
  }
}
tf.serialization.registerClass(ExitAdapters);
