import type {ContrastiveModel, Embedded} from '../models/model.js';
import {InputError} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import {Clock, type Embedding, layersRun} from './answer.js';
import {checkOptions, checkText} from '../runtime/check-options.js';
import {ANSWER_OPTIONS, type AnswerOptions} from './generation-options.js';
import type {Picture} from './pictures.js';
import {type PipelineParts, VisionLanguagePipeline} from './pipeline.js';
import type {Processor} from './processor.js';

/** Maps images and texts to one space. */
export interface Embedder {
  embedPicture(picture: Picture, options?: AnswerOptions): Promise<Embedding>;
  /** A longer text than the model reads is cut off, and a note says so. */
  embedText(text: string, options?: AnswerOptions): Promise<Embedding>;
  /** Several at once: each is what it is alone; of the time each has an equal share. */
  embedTexts(texts: readonly string[], options?: AnswerOptions): Promise<readonly Embedding[]>;
}

/** Splits a text into the tokens that an embedding model reads. */
export interface TextSequencer {
  /** @returns token ids with start and end, and how many tokens were cut off */
  sequence(text: string, contextLength: number): {readonly ids: readonly number[]; readonly cut: number};
}

/** A pipeline whose model also embeds. */
export class EmbeddingPipeline extends VisionLanguagePipeline<ContrastiveModel> implements Embedder {
  constructor(
    parts: PipelineParts<ContrastiveModel>,
    processor: Processor,
    private readonly sequencer: TextSequencer,
  ) {
    super(parts, processor);
  }

  async embedPicture(picture: Picture, options: AnswerOptions = {}): Promise<Embedding> {
    using scope = new TensorScope();
    const {signal} = options;
    checkOptions(options, ANSWER_OPTIONS, 'embedPicture');
    this.checkUsable();
    const {policy} = this.resolveExits('embed', options.exit);
    const clock = new Clock();
    const pixels = scope.hold(await this.stackedPixels([picture], signal));
    clock.lap('preprocess');
    const embedded = await this.model.embedImages(pixels, policy, {signal});
    return (await this.#embeddings(embedded, clock, [[]]))[0]!;
  }

  async embedText(text: string, options: AnswerOptions = {}): Promise<Embedding> {
    return (await this.embedTexts([text], options))[0]!;
  }

  async embedTexts(texts: readonly string[], options: AnswerOptions = {}): Promise<readonly Embedding[]> {
    if (texts.length === 0) return [];
    checkOptions(options, ANSWER_OPTIONS, 'embedText');
    this.checkUsable();
    for (const text of texts) checkText(text, 'text');
    const {signal} = options;
    const {policy} = this.resolveExits('embed', options.exit);
    const clock = new Clock(texts.length);
    const {contextLength} = this.model;
    const sequences = texts.map((text) => this.sequencer.sequence(text, contextLength));
    clock.lap('preprocess');
    const ids = sequences.map((sequence) => sequence.ids);
    const embedded = await this.model.embedTexts(ids, policy, {signal});
    const notes = sequences.map(({cut}) =>
      cut > 0
        ? [`the text is longer than the model's context of ${contextLength}: its last ${cut} tokens are cut off`]
        : [],
    );
    return await this.#embeddings(embedded, clock, notes);
  }

  /** @param notes of each row */
  async #embeddings(
    {features, runs}: Embedded,
    clock: Clock,
    notes: readonly (readonly string[])[],
  ): Promise<Embedding[]> {
    using scope = new TensorScope();
    const values = (await scope.hold(features).data()) as Float32Array;
    if (!values.every(Number.isFinite))
      throw new InputError('score-not-finite', 'the embedding is not made of numbers', {
        hint: 'Damaged weights give such embeddings.',
      });
    clock.lap('encode');
    const size = values.length / runs.length;
    return runs.map(({traces, macs}, r) => ({
      vector: values.slice(r * size, (r + 1) * size),
      layers: layersRun(traces),
      macs,
      ms: clock.read(),
      trace: traces,
      notes: notes[r]!,
    }));
  }
}
