import {createHash} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type {OnBadRow} from '../../data/dataset.js';
import type {StackName} from '../../exit/policy.js';
import type {CocaModel} from '../../models/coca/model.js';
import {OfaModel} from '../../models/ofa/model.js';
import {
  checkArguments,
  fields,
  instanceOf,
  type Kind,
  OBJECT,
  optional,
  PATH,
  TEXT,
} from '../../runtime/check-arguments.js';
import {InputError, UsageError, WeightsError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import {CocaPipeline} from '../../tasks/coca-processor.js';
import {OfaPipeline} from '../../tasks/ofa-processor.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import {checkCocaSettings} from '../../training/coca/objective.js';
import type {TrainedTask} from '../../training/examples.js';
import type {RateSchedule} from '../../training/schedule.js';
import {checkTaskSettings, type Recipe, type TaskSettings} from '../../training/task-objective.js';
import {checkSettings, type LoopSettings, TrainingLoop} from '../../training/trainer.js';
import {dataFingerprint} from '../dataset/fingerprint.js';
import {type OpenDatasetOptions, openDataset} from '../dataset/open.js';
import {readRowPicture} from '../files/read-picture.js';
import {type LoadOptions, loadModel} from '../model/load-model.js';
import {weightsHash} from '../model/manifest.js';
import {modelFolder} from '../model/shipped-models.js';
import {decodeImage} from '../picture/decode.js';
import {makeFolder} from '../runs/evaluation-folder.js';
import {WriterLock} from '../runs/writer-lock.js';
import {type CocaTraining, cocaSubject, INITIAL_WEIGHTS, type InitialWeights} from './coca-subject.js';
import {type EncodingPlace, ofaSubject} from './ofa-subject.js';
import {type AnyTrainingLoop, type TrainingData, type TrainingSubject, VALIDATED_STACK} from './subject.js';
import {type TrainedStep, TrainingLog} from './training-log.js';
import {writeTrainedModel} from './trained-model.js';
import {claimTraining, type TrainingRun} from './training-run.js';
import {type Best, readTrainingState, writeTrainingState} from './training-state.js';
import {Validator} from './validation.js';

const STATE = 'state.safetensors';

/** `coca`: captions and contrast, of a CoCa; the others are OFA's. */
export type TrainingRecipe = Recipe | 'coca';

/** A training: of OFA's decoder on what its frozen encoder gives, or of a whole CoCa. */
export interface TrainerOptions {
  /** A model folder, or the name of a shipped model. */
  readonly model: string;
  readonly task: TrainedTask;
  /** Rows with answers: whatever `mue evaluate` reads. */
  readonly data: string;
  /** The folder of the run. One that holds the same run goes on. */
  readonly out: string;
  /** Only the first rows. */
  readonly limit?: number;
  /** Rows that decide which weights are the best. */
  readonly validate?: string;
  readonly validateLimit?: number;
  /** Depths that a validation looks at besides the full one: of OFA's decoder, or of CoCa's image tower. */
  readonly depths?: readonly number[];
  /** Updates between validations, and between writings of the state; once an epoch by default. */
  readonly every?: number;
  /** How data sets are read. */
  readonly dataset?: Pick<OpenDatasetOptions, 'images' | 'columns' | 'split'>;
  /** Questions: the answers that are allowed. */
  readonly answers?: readonly string[];
  /** Where encodings are kept; in the run's folder by default. Runs on the same model and data may share it. */
  readonly states?: string;
  readonly load?: Omit<LoadOptions, 'adapters'>;
  /** `mue` by default. */
  readonly recipe?: TrainingRecipe;
  /** 10 by default. */
  readonly epochs?: number;
  /** Instead of epochs. */
  readonly updates?: number;
  readonly batch?: number;
  readonly accumulate?: number;
  readonly learningRate?: number;
  readonly schedule?: RateSchedule;
  /** Share of the updates during which the learning rate rises. */
  readonly warmup?: number;
  readonly clip?: number;
  readonly decay?: number;
  readonly betas?: readonly [number, number];
  readonly labelSmoothing?: number;
  readonly dropWorst?: number;
  readonly dropWorstAfter?: number;
  /** CoCa: captions of a picture in an update; 1 by default. */
  readonly captions?: number;
  /** CoCa: probability that a picture or text leaves its tower after a random layer; 0 by default. */
  readonly cuts?: number;
  /** CoCa: least share of a picture that a random crop keeps; 0.9 by default. */
  readonly crop?: number;
  /** CoCa: weights of the two losses; 2 and 1 by default. */
  readonly captionWeight?: number;
  readonly contrastiveWeight?: number;
  /** CoCa: `random` begins with weights that were drawn as open_clip draws them; `model` by default. */
  readonly init?: InitialWeights;
  /** Patterns of weights that stay as they are, besides OFA's `encoder.*`. */
  readonly freeze?: readonly string[];
  readonly seed?: number;
  readonly signal?: AbortSignal;
  /** Called for a row that cannot be used; without it the error is thrown. */
  readonly onBadRow?: OnBadRow;
  /** Called while rows are encoded, with their number so far. */
  readonly onEncoded?: (rows: number) => void;
}

/** Everything that decides what comes of a training, besides model and rows. */
type TrainingSettings = LoopSettings & Omit<TaskSettings, 'recipe'> & {readonly recipe: TrainingRecipe};

/** What a run cannot do without. */
export const TRAINER_OPTIONS: Kind = fields({
  model: PATH,
  data: PATH,
  out: PATH,
  task: TEXT,
  validate: optional(PATH),
  dataset: optional(OBJECT),
  load: optional(OBJECT),
});

/** What the options leave open: the authors' values for captions, the learning rate apart. */
export const TRAINING_DEFAULTS = {
  recipe: 'mue',
  batch: 24,
  accumulate: 1,
  learningRate: 1e-4,
  schedule: 'polynomial',
  warmup: 0.06,
  clip: 1,
  decay: 0.01,
  betas: [0.9, 0.999],
  dropWorst: 0,
  dropWorstAfter: 0,
  seed: 0,
} as const;

/** What a CoCa's options leave open: open_clip's, the learning rate's warm-up and the clipping apart. */
export const COCA_DEFAULTS = {
  learningRate: 5e-4,
  schedule: 'cosine',
  decay: 0.2,
  betas: [0.9, 0.98],
  epsilon: 1e-6,
  captions: 1,
  cuts: 0,
  crop: 0.9,
  captionWeight: 2,
  contrastiveWeight: 1,
  init: 'model',
} as const;

/**
 * A training, as an async iterator of its steps. Everything is kept in the run's folder: `run.json`, `log.jsonl`,
 * `state.safetensors`, and the models `last` and, with validation, `best`. Whatever ends it, the same call goes on and
 * comes to the same bytes. Owns its model.
 */
export class Trainer implements Disposable, AsyncIterable<TrainedStep> {
  readonly #scope: TensorScope;
  #saved: number;

  private constructor(
    private readonly options: TrainerOptions,
    /** The run's settings. */
    readonly run: TrainingRun,
    private readonly base: string,
    private readonly loop: AnyTrainingLoop,
    private readonly settings: TrainingSettings,
    private readonly log: TrainingLog,
    private readonly validator: Validator | undefined,
    private readonly subject: TrainingSubject,
    private best: Best | undefined,
    scope: TensorScope,
  ) {
    checkArguments('new Trainer', {loop: [loop, instanceOf('what Trainer.open makes', TrainingLoop)]});
    this.#scope = scope;
    this.#saved = loop.update;
  }

  /** Examples that are learnt from. */
  get examples(): number {
    return this.subject.examples;
  }

  /**
   * Loads the model, encodes the rows, and goes on where the folder's run stopped.
   * @throws UsageError `run-differs` for a folder of another run, `output-exists`, `family-unsupported`,
   *   `setting-invalid`, `freeze-unknown`; InputError `label-missing`, `data-empty`, `folder-in-use`, `cannot-write`;
   *   WeightsError, BackendError (see `loadModel`); AbortError
   */
  static async open(options: TrainerOptions): Promise<Trainer> {
    using scope = new TensorScope();
    checkArguments('Trainer.open', {options: [options, TRAINER_OPTIONS]});
    const {task, data, out, limit, signal, onBadRow, dataset = {}} = options;
    const base = modelFolder(options.model);
    // Wrong settings and names are found before the model is loaded.
    const open = (file: string) => openDataset(file, {task, ...dataset, onBadRow});
    open(data);
    if (options.validate !== undefined) open(options.validate);
    checkSettings(settingsOf(options, 1));
    checkFamilySettings(options);
    const model = scope.hold(await loadModel(base, {...options.load, adapters: false}));
    const stack = checkFamily(model, options);
    const depth = model.model.stacks[stack]!;
    for (const each of options.depths ?? [])
      if (!Number.isSafeInteger(each) || each < 1 || each > depth)
        throw new UsageError('setting-invalid', `depths: the stack ${stack} has the depths 1 to ${depth}, not ${each}`);
    const sha256 = weightsHash(base);
    if (sha256 === undefined)
      throw new WeightsError('not-a-model', `${base} has no manifest that lists its files`, {
        hint: 'A model folder is what `mue convert` writes.',
      });
    const fingerprint = await dataFingerprint(data, signal);
    const run = runOf(options, {name: path.basename(base), sha256}, fingerprint, model.runsOn?.device ?? '');
    makeFolder(out);
    scope.hold(WriterLock.take(out));
    claimTraining(out, run);
    const owned = new TensorScope();
    using failed = new TensorScope();
    failed.hold(owned);
    const {exif, maxPixels} = options.load ?? {};
    const decode: TrainingData['decode'] = (image) => decodeImage(readRowPicture(image), {exif, maxPixels});
    const rows = {...{name: data, rows: open(data), limit, decode, signal, onBadRow}, scope: owned};
    const place = {folder: options.states ?? path.join(out, 'encodings'), model: sha256, data: fingerprint.sha256};
    const subject = await subjectOf(model, options, {...rows, onProgress: options.onEncoded}, place);
    if (subject.examples === 0) throw new InputError('data-empty', `${data} has no rows that can be learnt from`);
    const settings = settingsOf(options, subject.examples);
    const loop = subject.loop(settings);
    const kept = await readTrainingState(path.join(out, STATE), loop.parameters.weights);
    if (kept) loop.restore(kept.state);
    const log = scope.hold(TrainingLog.open(path.join(out, 'log.jsonl'), run, loop.update));
    const validator =
      options.validate === undefined
        ? undefined
        : scope.hold(
            new Validator(subject.validated(), {
              task,
              open: () => open(options.validate!),
              limit: options.validateLimit,
              depths: options.depths ?? [],
              answers: options.answers,
              onBadRow,
              readPicture: decode,
            }),
          );
    const trainer = new Trainer(options, run, base, loop, settings, log, validator, subject, kept?.best, owned);
    for (const resource of [model, log, validator]) if (resource) owned.hold(scope.give(resource));
    failed.give(owned);
    return trainer;
  }

  /** Updates that are done, now and before. */
  get update(): number {
    return this.loop.update;
  }

  /** Updates in all. */
  get updates(): number {
    return this.settings.updates;
  }

  /** Numbers that are trained. */
  get trained(): number {
    return this.loop.parameters.count;
  }

  /** Updates between validations and writings of the state. */
  get every(): number {
    const {batch, accumulate} = this.settings;
    return this.options.every ?? Math.ceil(this.examples / (batch * accumulate));
  }

  /**
   * Trains. Left early, by `break` or an abort, the state is written first.
   * @throws AbortError; InputError `training-diverged`, `cannot-write`: the last good state is kept
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<TrainedStep> {
    const {signal} = this.options;
    let failed = false;
    try {
      while (!this.loop.finished) {
        const step = await this.loop.step(signal);
        const due = step.update % this.every === 0 || this.loop.finished;
        const validation = due ? await this.#validate() : undefined;
        const {updates} = this;
        this.log.step({...step, updates, ...(validation && {validation})});
        if (due) await this.#save();
        yield {...step, updates, ...(validation && {validation})};
      }
      // Also where the last update was done before, but its model not written.
      if (!fs.existsSync(path.join(this.options.out, 'last'))) await this.#writeModel('last');
    } catch (error) {
      failed = !(error instanceof Error && error.name === 'AbortError');
      throw error;
    } finally {
      if (!failed && this.loop.update > this.#saved) await this.#save();
    }
  }

  /** Trains to the end. @returns the last step; undefined if nothing was left to do */
  async finish(): Promise<TrainedStep | undefined> {
    let last: TrainedStep | undefined;
    for await (const step of this) last = step;
    return last;
  }

  async #validate(): Promise<TrainedStep['validation']> {
    const found = await this.validator?.run(this.options.signal);
    const best = found !== undefined && (this.best === undefined || found.value > this.best.value);
    if (best) {
      await this.#writeModel('best');
      this.best = {update: this.loop.update, value: found.value};
    }
    await this.#writeModel('last');
    return found && {...found, best};
  }

  async #writeModel(name: 'best' | 'last'): Promise<void> {
    const {parameters, update} = this.loop;
    const changed = new Map(this.subject.fresh);
    for (const [i, {name}] of parameters.weights.entries()) changed.set(name, parameters.values[i]!);
    const {task, recipe, data} = this.run;
    await writeTrainedModel(path.join(this.options.out, name), this.base, changed, {
      task,
      recipe,
      update,
      data: data.sha256,
    });
  }

  async #save(): Promise<void> {
    const file = path.join(this.options.out, STATE);
    await writeTrainingState(file, this.loop.parameters.weights, {state: this.loop.state, best: this.best});
    this.#saved = this.loop.update;
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

/** @throws UsageError `setting-invalid` */
function checkFamilySettings(options: TrainerOptions): void {
  const settings = settingsOf(options, 1);
  const {recipe} = settings;
  if (recipe === 'coca') checkCocaSettings(cocaTraining(options));
  else checkTaskSettings({...settings, recipe});
  const {init} = cocaTraining(options);
  if (!INITIAL_WEIGHTS.includes(init))
    throw new UsageError('setting-invalid', `init must be ${INITIAL_WEIGHTS.join(' or ')}, not ${init}`);
}

/**
 * Checks that a model is of the family that its recipe and task are for.
 * @returns the stack whose depths a validation may look at
 * @throws UsageError `family-unsupported`, `task-unsupported`
 */
function checkFamily(pipeline: VisionLanguagePipeline, {recipe, task}: TrainerOptions): StackName {
  if (recipe === 'coca') {
    if (!(pipeline instanceof CocaPipeline))
      throw new UsageError('family-unsupported', "the recipe 'coca' trains models of the family CoCa", {
        hint: "An OFA is trained with the recipes 'mue' and 'plain'.",
      });
    if (task !== 'caption')
      throw new UsageError('task-unsupported', `a CoCa learns from captions, not for the task ${task}`);
    return VALIDATED_STACK.coca;
  }
  if (!(pipeline instanceof OfaPipeline) || !(pipeline.model instanceof OfaModel))
    throw new UsageError('family-unsupported', 'only models of the family OFA can be trained with this recipe', {
      hint: 'A CoCa is trained with --recipe coca; `mue train exits` makes models of every family exit-ready.',
    });
  return VALIDATED_STACK.ofa;
}

/** @throws the errors of `ofaSubject` and `cocaSubject` */
async function subjectOf(
  pipeline: VisionLanguagePipeline,
  options: TrainerOptions,
  data: TrainingData,
  place: EncodingPlace,
): Promise<TrainingSubject> {
  const {recipe, ...settings} = settingsOf(options, 1);
  if (recipe === 'coca') {
    const coca = pipeline as CocaPipeline;
    return await cocaSubject(coca, coca.model as CocaModel, data, cocaTraining(options), settings.seed);
  }
  return await ofaSubject(pipeline as OfaPipeline, options.task, data, {...settings, recipe}, place, options.answers);
}

function cocaTraining(options: TrainerOptions): CocaTraining {
  const given = <K extends keyof CocaTraining>(name: K): CocaTraining[K] =>
    (options[name] ?? COCA_DEFAULTS[name]) as CocaTraining[K];
  return {
    captions: given('captions'),
    cuts: given('cuts'),
    crop: given('crop'),
    captionWeight: given('captionWeight'),
    contrastiveWeight: given('contrastiveWeight'),
    init: given('init'),
  };
}

/** @param examples that there are */
function settingsOf(options: TrainerOptions, examples: number): TrainingSettings {
  const coca = options.recipe === 'coca';
  const {learningRate, schedule, decay, betas, epsilon} = COCA_DEFAULTS;
  const own = coca ? {learningRate, schedule, decay, betas} : {};
  const {batch, accumulate, warmup, ...defaults} = {...TRAINING_DEFAULTS, ...own};
  const {epochs = 10} = options;
  const sizes = {batch: options.batch ?? batch, accumulate: options.accumulate ?? accumulate};
  const updates = options.updates ?? Math.ceil((epochs * examples) / (sizes.batch * sizes.accumulate));
  const given = Object.fromEntries(
    Object.keys(defaults).map((name) => [
      name,
      options[name as keyof typeof defaults] ?? defaults[name as keyof typeof defaults],
    ]),
  ) as unknown as Pick<TrainingSettings, keyof typeof defaults>;
  const share = options.warmup ?? warmup;
  if (!(share >= 0 && share < 1))
    throw new UsageError('setting-invalid', `warmup must be from 0 to below 1, not ${share}`);
  return {
    ...given,
    ...sizes,
    updates,
    warmup: Math.round(share * updates),
    ...(coca && {epsilon}),
    labelSmoothing: options.labelSmoothing ?? (coca || options.task === 'snli-ve' ? 0 : 0.1),
    freeze: [...(coca ? [] : ['encoder.*']), ...(options.freeze ?? [])],
  };
}

function runOf(
  options: TrainerOptions,
  model: TrainingRun['model'],
  data: TrainingRun['data'],
  device: string,
): TrainingRun {
  const {warmup: _, updates: __, epsilon: ___, ...settings} = settingsOf(options, 1);
  const {answers} = options;
  return {
    format: 'mue-training-run',
    version: 1,
    model,
    task: options.task,
    data,
    limit: options.limit ?? null,
    answers: answers ? createHash('sha256').update(answers.join('\n')).digest('hex') : null,
    ...settings,
    ...(settings.recipe === 'coca' && {coca: cocaTraining(options)}),
    epochs: options.updates === undefined ? (options.epochs ?? 10) : null,
    updates: options.updates ?? null,
    warmup: options.warmup ?? TRAINING_DEFAULTS.warmup,
    device,
  };
}
