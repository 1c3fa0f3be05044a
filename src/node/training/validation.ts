import {type Dataset, type ImageSource, type OnBadRow, reportBadRow} from '../../data/dataset.js';
import type {RgbImage} from '../../data/image.js';
import type {Tokenizer} from '../../data/tokenizer.js';
import {evaluate} from '../../evaluation/evaluate.js';
import {evaluationMetrics} from '../../evaluation/metrics.js';
import type {EvaluationRow} from '../../evaluation/row.js';
import {type ExitPlan, NEVER_PLAN} from '../../exit/plan/schema.js';
import type {OfaModel} from '../../models/ofa/model.js';
import {InputError} from '../../runtime/errors.js';
import {OfaProcessor} from '../../tasks/ofa-processor.js';
import {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {TrainedTask} from '../../training/examples.js';
import {decodeImage} from '../picture/decode.js';
import {RememberedEncoder} from './remembered-encoder.js';

/** What a validation found: the task's measure at decoder depths, the full one last. */
export interface Validation {
  /** `accuracy` or `CIDEr-D`. */
  readonly metric: string;
  readonly depths: readonly {readonly depth: number; readonly value: number}[];
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
  /** Decoder depths besides the full one. */
  readonly depths: readonly number[];
  /** Questions: the answers that are allowed. */
  readonly answers?: readonly string[];
  readonly readPicture: (image: ImageSource) => Promise<RgbImage>;
  /** Called for a row that cannot be answered; without it the error is thrown. */
  readonly onBadRow?: OnBadRow;
}

/** Evaluates a decoder in training, as `mue evaluate` would; the frozen encoder runs once a row. Borrows the model. */
export class Validator implements Disposable {
  readonly #pipeline: VisionLanguagePipeline;

  constructor(
    private readonly model: OfaModel,
    tokenizer: Tokenizer,
    private readonly options: ValidationOptions,
  ) {
    this.#pipeline = new VisionLanguagePipeline(
      {model: new RememberedEncoder(model), pictures: {decode: (bytes) => decodeImage(bytes)}},
      new OfaProcessor(model.config, tokenizer),
    );
  }

  /** @throws AbortError; InputError `label-missing` for rows without answers */
  async run(signal?: AbortSignal): Promise<Validation> {
    const start = performance.now();
    this.model.weightsChanged();
    const full = this.model.decoder.layers.length;
    const metric = this.options.task === 'caption' ? 'CIDEr-D' : 'accuracy';
    const depths = [];
    let count = 0;
    for (const depth of [...this.options.depths.filter((depth) => depth !== full), full]) {
      const plan: ExitPlan =
        depth === full ? NEVER_PLAN : {...NEVER_PLAN, stacks: {decoder: {policy: 'fixed', layers: depth}}};
      const rows = await this.#evaluate(plan, signal);
      count = rows.length;
      const {task} = this.options;
      const setup = {task, model: {name: '', sha256: null}, depths: this.model.stacks, data: {name: ''}, exit: plan};
      const bad = {unreadable: 0, failed: 0};
      const value = evaluationMetrics(rows, {...setup, device: '', threads: null}, bad).metrics[metric];
      if (value === undefined)
        throw new InputError('label-missing', 'the rows to validate with have no answers to compare with');
      depths.push({depth, value});
    }
    const value = depths.reduce((sum, each) => sum + each.value, 0) / depths.length;
    return {metric, depths, value, rows: count, ms: performance.now() - start};
  }

  async #evaluate(exit: ExitPlan, signal: AbortSignal | undefined): Promise<readonly EvaluationRow[]> {
    const {task, open, limit, answers, readPicture, onBadRow} = this.options;
    const rows: EvaluationRow[] = [];
    await evaluate(open(), {
      task,
      answerer: this.#pipeline,
      exit,
      limit,
      answers,
      premise: this.#pipeline.readsPremise,
      readPicture,
      warmup: 0,
      signal,
      onRow: (row) => rows.push(row),
      onFailed: ({line}, _index, error) => reportBadRow(onBadRow, line, error),
    });
    return rows;
  }

  [Symbol.dispose](): void {
    this.#pipeline[Symbol.dispose]();
  }
}
