import {nearest, type Points} from '../../metrics/retrieval.js';
import type {Embedding} from '../../tasks/answer.js';
import type {Embedder} from '../../tasks/embedding-pipeline.js';
import type {DemoRow} from './examples.js';
import {signed} from './table.js';

/** The example images looked for by their captions, with embeddings at full depth and with early exits. */
export interface RetrievalDemo {
  /** For each image, its caption, and the file of the image that is nearest to it. */
  readonly queries: readonly {
    readonly text: string;
    readonly file: string;
    readonly full: string;
    readonly early: string;
  }[];
  /** Means of an image. */
  readonly macs: {readonly full: number; readonly early: number};
  readonly ms: {readonly full: number; readonly early: number};
  /** Layers that ran of an image, with early exits: "3 of 6". */
  readonly layers: string;
}

export async function runRetrieval(
  model: Embedder,
  rows: readonly DemoRow[],
  signal: AbortSignal,
): Promise<RetrievalDemo> {
  const full: Embedding[] = [];
  const early: Embedding[] = [];
  // A first answer is not timed: kernels are compiled in it.
  if (rows[0]) await model.embedPicture(rows[0].bytes, {exit: 'never', signal});
  for (const {bytes} of rows) {
    full.push(await model.embedPicture(bytes, {exit: 'never', signal}));
    early.push(await model.embedPicture(bytes, {exit: 'model', signal}));
  }
  const texts = await model.embedTexts(
    rows.map(({reference}) => reference),
    {exit: 'model', signal},
  );
  const found = (images: readonly Embedding[], text: Embedding): string =>
    rows[nearest(text.vector, pointsOf(images), 1)[0]!.row]!.file;
  const means = (of: (image: Embedding) => number): {full: number; early: number} => ({
    full: full.reduce((sum, image) => sum + of(image), 0) / full.length,
    early: early.reduce((sum, image) => sum + of(image), 0) / early.length,
  });
  return {
    queries: rows.map(({reference, file}, i) => ({
      text: reference,
      file,
      full: found(full, texts[i]!),
      early: found(early, texts[i]!),
    })),
    macs: means(({macs}) => macs.run),
    ms: means(({ms}) => ms.total),
    layers: early[0] ? `${early[0].layers.vision!.run} of ${early[0].layers.vision!.of}` : '',
  };
}

function pointsOf(embeddings: readonly Embedding[]): Points {
  const size = embeddings[0]!.vector.length;
  const values = new Float32Array(size * embeddings.length);
  for (const [i, {vector}] of embeddings.entries()) values.set(vector, i * size);
  return {size, count: embeddings.length, values};
}

/** How many images were found by their captions, and what exits saved, in one line. */
export function retrievalText({queries, macs, ms, layers}: RetrievalDemo): string {
  const right = (side: 'full' | 'early'): number => queries.filter((query) => query[side] === query.file).length;
  const giga = (x: number): string => (x / 1e9).toFixed(2);
  return (
    `retrieval (scenes-coca): ${right('full')} of ${queries.length} pictures found by a caption at full depth, ` +
    `${right('early')} with early exit after ${layers} layers; ` +
    `MACs ${giga(macs.full)} → ${giga(macs.early)} G (${signed(1 - macs.early / macs.full)}), ` +
    `${ms.full.toFixed(0)} → ${ms.early.toFixed(0)} ms (${signed(1 - ms.early / ms.full)})`
  );
}
