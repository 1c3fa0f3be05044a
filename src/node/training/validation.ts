import {type Dataset, type ImageSource, type OnBadRow, reportBadRow} from '../../data/dataset.js';
import type {RgbImage} from '../../data/image.js';
import type {Tokenizer} from '../../data/tokenizer.js';
import {evaluate} from '../../evaluation/evaluate.js';
import {evaluationMetrics} from '../../evaluation/metrics.js';
import {datasetRecall} from '../../evaluation/recall.js';
import type {EvaluationRow} from '../../evaluation/row.js';
import {type ExitPlan, NEVER_PLAN} from '../../exit/plan/schema.js';
import type {StackName} from '../../exit/policy.js';
import type {OfaModel} from '../../models/ofa/model.js';
import {InputError} from '../../runtime/errors.js';
import type {Embedder} from '../../tasks/embedding-pipeline.js';
import {OfaProcessor} from '../../tasks/ofa-processor.js';
import {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {TrainedTask} from '../../training/examples.js';
import {readRowPicture} from '../files/read-picture.js';
import {decodeImage} from '../picture/decode.js';
import {RememberedEncoder} from './remembered-encoder.js';

/** What a validation found at a depth. */
export interface DepthValidation {
  readonly depth: number;
  readonly value: number;
  /** Models that embed: recall@1 in both directions, of texts at full depth. */
  readonly recall?: {readonly textToImage: number; readonly imageToText: number};
}

/** What a validation found: the task's measure at depths of one stack, the full one last. */
export interface Validation {
  /** `accuracy` or `CIDEr-D`. */
  readonly metric: string;
  readonly depths: readonly DepthValidation[];
  /** The mean over the depths; the largest one is the best. */
  readonly value: number;
  readonly rows: number;
  readonly ms: number;
}

export interface ValidationOptions {
  readonly task: TrainedTask;
  /** Opens the rows anew. */
  readonly open: () => Dataset;
  readonly limit?: number;
  /** Depths besides the full one. */
  readonly depths: readonly number[];
  /** Questions: the answers that are allowed. */
  readonly answers?: readonly string[];
  readonly readPicture: (image: ImageSource) => Promise<RgbImage>;
  /** Called for a row that cannot be answered; without it the error is thrown. */
  readonly onBadRow?: OnBadRow;
}

/** A model in training, as it is validated. Disposing it leaves the model. */
export interface ValidatedModel extends Disposable {
  readonly pipeline: VisionLanguagePipeline;
  /** The stack whose depths are looked at. */
  readonly stack: StackName;
  /** Rows that are answered together. */
  readonly batch: number;
  /** Where the model embeds, too. */
  readonly embedder?: Embedder;
  /** Lets the model see that its weights have changed. */
  readonly refresh: () => void | Promise<void>;
}

/** An OFA whose decoder is trained; the frozen encoder runs once a row. Borrows the model. */
export function validatedDecoder(model: OfaModel, tokenizer: Tokenizer): ValidatedModel {
  const pipeline = new VisionLanguagePipeline(
    {model: new RememberedEncoder(model), pictures: {decode: (bytes) => decodeImage(bytes)}},
    new OfaProcessor(model.config, tokenizer),
  );
  return {
    pipeline,
    stack: 'decoder',
    batch: 1,
    refresh: () => model.weightsChanged(),
    [Symbol.dispose]: () => pipeline[Symbol.dispose](),
  };
}

/** Evaluates a model in training, as `mue evaluate` would. Takes over what it validates. */
export class Validator implements Disposable {
  constructor(
    private readonly validated: ValidatedModel,
    private readonly options: ValidationOptions,
  ) {}

  /** @throws AbortError; InputError `label-missing` for rows without answers */
  async run(signal?: AbortSignal): Promise<Validation> {
    const start = performance.now();
    const {stack, pipeline, refresh} = this.validated;
    await refresh();
    const full = pipeline.model.stacks[stack]!;
    const metric = this.options.task === 'caption' ? 'CIDEr-D' : 'accuracy';
    const depths: DepthValidation[] = [];
    let count = 0;
    for (const depth of [...this.options.depths.filter((depth) => depth !== full), full]) {
      const plan: ExitPlan =
        depth === full ? NEVER_PLAN : {...NEVER_PLAN, stacks: {[stack]: {policy: 'fixed', layers: depth}}};
      const rows = await this.#evaluate(plan, signal);
      count = rows.length;
      const {task} = this.options;
      const setup = {
        task,
        model: {name: '', sha256: null},
        depths: pipeline.model.stacks,
        data: {name: ''},
        exit: plan,
      };
      const bad = {unreadable: 0, failed: 0};
      const value = evaluationMetrics(rows, {...setup, device: '', threads: null}, bad).metrics[metric];
      if (value === undefined)
        throw new InputError('label-missing', 'the rows to validate with have no answers to compare with');
      depths.push({depth, value, ...(await this.#recall(plan, signal))});
    }
    const value = depths.reduce((sum, each) => sum + each.value, 0) / depths.length;
    return {metric, depths, value, rows: count, ms: performance.now() - start};
  }

  async #evaluate(exit: ExitPlan, signal: AbortSignal | undefined): Promise<readonly EvaluationRow[]> {
    const {task, open, limit, answers, readPicture, onBadRow} = this.options;
    const {pipeline, batch} = this.validated;
    const rows: EvaluationRow[] = [];
    await evaluate(open(), {
      task,
      answerer: pipeline,
      exit,
      limit,
      answers,
      batch,
      premise: pipeline.readsPremise,
      readPicture,
      warmup: 0,
      signal,
      onRow: (row) => rows.push(row),
      onFailed: ({line}, _index, error) => reportBadRow(onBadRow, line, error),
    });
    return rows;
  }

  async #recall(exit: ExitPlan, signal: AbortSignal | undefined): Promise<Pick<DepthValidation, 'recall'>> {
    const {embedder} = this.validated;
    if (!embedder) return {};
    const {open, limit, onBadRow} = this.options;
    const {recall} = await datasetRecall(embedder, open(), {
      ks: [1],
      limit,
      answer: {exit, signal},
      read: ({image}) => readRowPicture(image),
      onFailed: ({line}, error) => reportBadRow(onBadRow, line, error),
    });
    const {textToImage, imageToText} = recall[0]!;
    return {recall: {textToImage, imageToText}};
  }

  [Symbol.dispose](): void {
    this.validated[Symbol.dispose]();
  }
}
