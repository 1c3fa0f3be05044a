import {checkArguments, fields, FUNCTION, listOf, TEXT, VECTOR} from '../runtime/check-arguments.js';
import {InputError, UsageError} from '../runtime/errors.js';
import type {AnswerOptions} from './generation-options.js';
import type {Embedder} from './embedding-pipeline.js';
import {largest} from '../runtime/extremes.js';

/** The subset of OpenAI's prompt templates that does nearly as well as all 80 (docs/reference/coca.md 8). */
export const TEMPLATES: readonly string[] = [
  'itap of a {}.',
  'a bad photo of the {}.',
  'a origami {}.',
  'a photo of the large {}.',
  'a {} in a video game.',
  'art of the {}.',
  'a photo of the small {}.',
];

/** Factor of similarities before the softmax; open_clip's protocol takes it whatever the model's own is. */
const SCALE = 100;

/** Labels, each a point that pictures of it lie near. */
export interface Classifier {
  readonly labels: readonly string[];
  readonly points: readonly Float32Array[];
  /** Words for people: texts that were cut. */
  readonly notes: readonly string[];
}

export interface Classified {
  readonly label: string;
  /** 100 times the cosine. */
  readonly logit: number;
  readonly probability: number;
}

/**
 * A zero-shot classifier: the mean of every template with the label in it, made of unit length.
 * @throws UsageError for labels or templates that are empty or repeat themselves
 */
export async function zeroShotClassifier(
  embedder: Embedder,
  labels: readonly string[],
  templates: readonly string[] = TEMPLATES,
  options: AnswerOptions = {},
): Promise<Classifier> {
  checkArguments('zeroShotClassifier', {
    embedder: [embedder, fields({embedTexts: FUNCTION})],
    labels: [labels, listOf(TEXT)],
    templates: [templates, listOf(TEXT)],
  });
  distinct(labels, 'labels');
  distinct(templates, 'templates');
  const bare = templates.find((template) => !template.includes('{}'));
  if (bare !== undefined) throw new UsageError('templates-invalid', `a template has no {} for the label: '${bare}'`);
  // All at once: those that are equally long run together.
  const texts = labels.flatMap((label) => templates.map((template) => template.replaceAll('{}', () => label)));
  const embedded = await embedder.embedTexts(texts, options);
  const points = labels.map((_, l) => {
    const own = embedded.slice(l * templates.length, (l + 1) * templates.length).map(({vector}) => vector);
    return unit(own[0]!.map((_x, i) => own.reduce((sum, text) => sum + text[i]!, 0)));
  });
  const notes = embedded.flatMap(({notes: cut}, i) =>
    cut.map((note) => `${labels[Math.floor(i / templates.length)]!}: ${note}`),
  );
  return {labels, points, notes};
}

/** The labels of a picture, likeliest first. */
export function classify(picture: Float32Array, classifier: Classifier): Classified[] {
  checkArguments('classify', {
    picture: [picture, VECTOR],
    classifier: [classifier, fields({labels: listOf(TEXT), points: listOf(VECTOR)})],
  });
  const {labels, points} = classifier;
  const logits = points.map((point) => SCALE * point.reduce((sum, x, i) => sum + x * picture[i]!, 0));
  const max = largest(logits);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0);
  return labels
    .map((label, i) => ({label, logit: logits[i]!, probability: Math.exp(logits[i]! - max) / total}))
    .sort((a, b) => b.logit - a.logit);
}

/** @throws UsageError `labels-empty`, `labels-duplicate` (or `templates-…`) */
export function distinct(list: readonly string[], what: 'labels' | 'templates'): void {
  if (list.length === 0) throw new UsageError(`${what}-empty`, `the list of ${what} is empty`);
  const seen = new Set<string>();
  for (const entry of list) {
    if (seen.has(entry)) throw new UsageError(`${what}-duplicate`, `the list of ${what} has '${entry}' twice`);
    seen.add(entry);
  }
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  if (!(length > 0)) throw new InputError('score-not-finite', 'the embeddings of a label cancel out');
  return vector.map((x) => x / length);
}
