// The public API, as a table of contents. Nothing here touches a platform; `mue-tfjs/node` loads models on Node.
export {fixed} from './exit/policies/static.js';
export {type ExitPlan, type ExitPlans, parsePlan, type StackPlan} from './exit/plan/schema.js';
export {createPolicy} from './exit/plan/policies.js';
export {type PlanDefaults, releasePlan, similarityPlan, thresholdPlan, type Thresholds} from './exit/plan/presets.js';
export {
  type ExitPolicy,
  never,
  type Observation,
  type PolicyPerImage,
  type Position,
  type StackName,
  stackPolicies,
} from './exit/policy.js';
export {type RunStackOptions, runStack, type StackPosition} from './exit/run-stack.js';
export {type Schedule, type ScheduleName, thresholdAt} from './exit/policies/threshold.js';
export {type Mode, similarity} from './exit/policies/similarity.js';
export type {SkippedKv} from './exit/skipped-kv-cache.js';
export type {ImageRun, Macs, StackTrace} from './exit/trace.js';
export {
  fairseqBeamSearch,
  type Hypothesis,
  type SearchOptions,
} from './generation/fairseq-beam-search.js';
export {TokenTrie} from './generation/token-trie.js';
export type {
  ContrastiveModel,
  Decoded,
  Decoding,
  Embedded,
  Encoded,
  EncodeInput,
  ImageStates,
  MultiDepthEncoding,
  RunOptions,
  Scored,
  ScoreInput,
  StepOptions,
  VisionLanguageModel,
} from './models/model.js';
export {
  type LayerLoss,
  type LossBatch,
  type LossOptions,
  type TaskLoss,
  taskLoss,
  taskLosses,
} from './models/ofa/loss.js';
export {OfaModel} from './models/ofa/model.js';
export {AbortError, BackendError, InputError, MueError, UsageError, WeightsError} from './runtime/errors.js';
export {TensorScope} from './runtime/tensor-scope.js';
export {nearest, type Neighbour, type Points, type Recall, recallAt} from './metrics/retrieval.js';
export type {Answer, AnswerHypothesis, Embedding, Entailment, EntailmentLabel, Milliseconds} from './tasks/answer.js';
export {type AdapterKind, ExitAdapters} from './nn/exit-adapters.js';
export {type TrainingRow, trainingRows} from './training/rows.js';
export {
  type AdapterOptions,
  type AdapterReport,
  type TrainedAdapters,
  trainExitAdapters,
} from './training/train-exit-adapters.js';
export type {AnswerOptions, GenerateOptions, StreamedToken} from './tasks/generation-options.js';
export {type Embedder, EmbeddingPipeline, type TextSequencer} from './tasks/embedding-pipeline.js';
export type {AdjustedExit, ExitChoice, ResolvedExits, TaskName} from './tasks/exits.js';
export type {ImageDecoder, Picture} from './tasks/pictures.js';
export {
  type AskOptions,
  type EntailmentQuestion,
  type LearntFrom,
  type PictureQuestion,
  type PipelineParts,
  type RunsOn,
  type TaskAdapters,
  VisionLanguagePipeline,
} from './tasks/pipeline.js';
export type {
  AllowedAnswer,
  AllowedAnswers,
  AnswerWriter,
  EntailmentTokens,
  GeneratedAnswer,
  Processor,
  Prompt,
  WriteOptions,
} from './tasks/processor.js';
export {CocaPipeline} from './tasks/coca-processor.js';
export {OfaPipeline} from './tasks/ofa-processor.js';
export type {RgbImage} from './data/image.js';
export {type Classified, type Classifier, classify, TEMPLATES, zeroShotClassifier} from './tasks/zero-shot.js';

// Names of earlier versions.
/** @deprecated `fairseqBeamSearch` */
export {fairseqBeamSearch as beamSearch} from './generation/fairseq-beam-search.js';
/** @deprecated `createPolicy` */
export {createPolicy as planPolicy} from './exit/plan/policies.js';
/** @deprecated `PlanDefaults` */
export type {PlanDefaults as ThresholdSurroundings} from './exit/plan/presets.js';
/** @deprecated `VisionLanguagePipeline` */
export type {VisionLanguagePipeline as Assistant} from './tasks/pipeline.js';
/** @deprecated `CocaPipeline` */
export {CocaPipeline as ContrastiveCaptioner} from './tasks/coca-processor.js';
/** @deprecated `OfaPipeline` */
export {OfaPipeline as Mue} from './tasks/ofa-processor.js';
