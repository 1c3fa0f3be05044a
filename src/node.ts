export {type ConcreteDevice, type Device, DEVICES} from './runtime/devices.js';
export type {DeviceProbe} from './node/backends/devices.js';
export {type BackendOptions, type SelectedBackend, selectBackend} from './node/backends/select.js';
export {type OpenDatasetOptions, openDataset} from './node/dataset/open.js';
export {type DecodeOptions, decodeImage} from './node/picture/decode.js';
export {
  type AdaptedModel,
  type AdaptersContent,
  type LoadedAdapters,
  readExitAdapters,
  writeExitAdapters,
} from './node/model/exit-adapters.js';
export {type LoadOptions, loadModel, SHIPPED_MODEL} from './node/model/load-model.js';
export type {LoadProgress} from './node/model/load-progress.js';
export {weightsHash} from './node/model/manifest.js';
export {SHIPPED_MODELS, type ShippedModel} from './node/model/shipped-models.js';
export {planTraining, type TrainingPlan} from './node/training/plan.js';
export {Trainer, type TrainerOptions, type TrainingRecipe} from './node/training/trainer.js';
export type {TrainedStep} from './node/training/training-log.js';
export type {TrainingRun} from './node/training/training-run.js';
export type {DepthValidation, Validation} from './node/training/validation.js';
export type {InitialWeights} from './node/training/coca-subject.js';
export type {TrainedTask} from './training/examples.js';
export type {RateSchedule} from './training/schedule.js';
export type {Recipe} from './training/task-objective.js';
export type {TrainingStep} from './training/trainer.js';
