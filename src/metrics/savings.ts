import {UsageError} from '../runtime/errors.js';

/** Layers that one item ran. Depths (all layers) have the same shape. */
export interface LayersRun {
  /** Encoder layers: of a joint encoder, or `encoderLayers(image, text)` of a decomposed one. */
  readonly encoder: number;
  /** Decoder layers: of the one step, or the mean over the item's steps. */
  readonly decoder: number;
  /** Weight of the item: 1 to count items alike (default), the number of its steps to count words alike (A5's w). */
  readonly weight?: number;
}

/** The encoder depth that MuE counts when image and text run apart: their mean (early_exit.md A5). */
export function encoderLayers(image: number, text: number): number {
  return (image + text) / 2;
}

/**
 * MuE's "expected time reduction rate" (early_exit.md A5): 1 − Σ w (n_E + n_D) / (Σ w (N_E + N_D)). It counts layers, not
 * time: never show it without MACs and wall-clock.
 * @returns in [0, 1); NaN if there are no items.
 */
export function expectedTimeReduction(
  items: readonly LayersRun[],
  depth: {readonly encoder: number; readonly decoder: number},
): number {
  if (!(depth.encoder >= 0 && depth.decoder >= 0 && depth.encoder + depth.decoder > 0))
    throw new UsageError(
      'depth',
      `layers saved: depths ${depth.encoder} + ${depth.decoder}; a positive number of layers is needed.`,
    );
  let run = 0;
  let weights = 0;
  for (const {encoder, decoder, weight = 1} of items) {
    run += weight * (encoder + decoder);
    weights += weight;
  }
  return 1 - run / (weights * (depth.encoder + depth.decoder));
}

/** Share of a cost (MACs, milliseconds) that was saved: 1 − Σ run / Σ full. */
export function costSaved(run: ArrayLike<number>, full: ArrayLike<number>): number {
  if (run.length !== full.length)
    throw new UsageError(
      'wrong-count',
      `cost saved: ${run.length} costs against ${full.length} full costs; equally many are needed.`,
    );
  let ran = 0;
  let whole = 0;
  for (let i = 0; i < run.length; i++) {
    ran += run[i]!;
    whole += full[i]!;
  }
  return 1 - ran / whole;
}

/** Share of a score that early exits keep: early / full; 1 if both are 0. */
export function retention(early: number, full: number): number {
  return early === full ? 1 : early / full;
}

/** Mean of the retentions of several metrics that both results have; MuE's "96 %" is such a mean (early_exit.md A1). */
export function meanRetention(early: Readonly<Record<string, number>>, full: Readonly<Record<string, number>>): number {
  const names = Object.keys(full).filter((name) => Object.hasOwn(early, name));
  return names.reduce((sum, name) => sum + retention(early[name]!, full[name]!), 0) / names.length;
}
