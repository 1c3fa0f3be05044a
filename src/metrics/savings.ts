import {UsageError} from '../runtime/errors.js';

/** Layers on both sides of a model as they are counted (`countLayers`), of one item or of the whole depth. */
export interface LayersRun {
  readonly encoder: number;
  /** Layers of the one step, or the mean over the item's steps. */
  readonly decoder: number;
}

/** Encoder depth that MuE counts when image and text run apart: their mean (docs/reference/early-exit.md A5). */
export function encoderLayers(image: number, text: number): number {
  return (image + text) / 2;
}

/**
 * MuE's "expected time reduction rate" (docs/reference/early-exit.md A5), items counted alike: 1 − Σ (n_E + n_D) / Σ
 * (N_E + N_D). It counts layers, not time: never show it without MACs and wall-clock.
 * @returns in [0, 1); NaN if there are no items
 * @throws UsageError for a depth without layers
 */
export function expectedTimeReduction(items: readonly LayersRun[], depth: LayersRun): number {
  if (!(depth.encoder >= 0 && depth.decoder >= 0 && depth.encoder + depth.decoder > 0))
    throw new UsageError(
      'depth',
      `layers saved: depths ${depth.encoder} + ${depth.decoder}; a positive number of layers is needed.`,
    );
  const run = items.reduce((sum, {encoder, decoder}) => sum + (encoder + decoder), 0);
  return 1 - run / (items.length * (depth.encoder + depth.decoder));
}

/** Fraction of a score that early exits keep: early / full; 1 if both are 0. */
export function retention(early: number, full: number): number {
  return early === full ? 1 : early / full;
}

/**
 * Mean retention of the metrics that both results have; MuE's "96 %" is such a mean (docs/reference/early-exit.md A1).
 */
export function meanRetention(early: Readonly<Record<string, number>>, full: Readonly<Record<string, number>>): number {
  const names = Object.keys(full).filter((name) => Object.hasOwn(early, name));
  return names.reduce((sum, name) => sum + retention(early[name]!, full[name]!), 0) / names.length;
}
