// The public API, as a table of contents. Nothing here touches a platform; `mue-tfjs/node` loads models on Node.
export {fixed} from './exit/policies/static.js';
export {
  type DeepReadonly,
  type ExitPlan,
  type ExitPlans,
  parsePlan,
  type StackPlan,
  type StackPlanFields,
} from './exit/plan/schema.js';
export {createPolicy} from './exit/plan/policies.js';
export {
  type PlanDefaults,
  type PlanName,
  releasePlan,
  similarityPlan,
  thresholdPlan,
  type Thresholds,
} from './exit/plan/presets.js';
export {
  type Drafting,
  type ExitPolicy,
  never,
  type Observation,
  type PolicyPerImage,
  type Position,
  type StackName,
  stackPolicies,
} from './exit/policy.js';
export {type RunStackOptions, runStack, type StackPosition, type UnitLogits} from './exit/run-stack.js';
export {
  type RowRule,
  type Schedule,
  type ScheduleName,
  type ThresholdOptions,
  thresholdAt,
} from './exit/policies/threshold.js';
export {type Mode, similarity, type SimilarityOptions} from './exit/policies/similarity.js';
export type {SkippedKv} from './exit/skipped-kv-cache.js';
export type {AdapterMacs, ImageRun, Macs, StackTrace} from './exit/trace.js';
export {
  type Candidate,
  fairseqBeamSearch,
  type Hypothesis,
  type SearchOptions,
  type SearchStep,
} from './generation/fairseq-beam-search.js';
export type {DecodingRules} from './generation/step.js';
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
  DraftableDecoding,
  Follow,
  Follower,
  StepOptions,
  VisionLanguageModel,
} from './models/model.js';
export type {CocaImageStates} from './models/coca/all-depths.js';
export type {CocaConfig} from './models/coca/config.js';
export type {CocaDecoding} from './models/coca/decode.js';
export type {CocaEncoded} from './models/coca/encode.js';
export {CocaModel} from './models/coca/model.js';
export type {OfaImageStates, OfaMultiDepthEncoding} from './models/ofa/all-depths.js';
export type {OfaConfig} from './models/ofa/config.js';
export type {OfaDecoding} from './models/ofa/decode.js';
export type {EncoderOutput, OfaEncoded} from './models/ofa/encode.js';
export {
  type LayerLoss,
  type LossBatch,
  type LossOptions,
  type TaskLoss,
  taskLoss,
  taskLosses,
} from './models/ofa/loss.js';
export type {DraftCounts} from './generation/drafted-decoding.js';
export {OfaModel} from './models/ofa/model.js';
export {AbortError, BackendError, InputError, MueError, UsageError, WeightsError} from './runtime/errors.js';
export {TensorScope} from './runtime/tensor-scope.js';
export {nearest, type Neighbour, type Points, type Recall, recallAt} from './metrics/retrieval.js';
export type {Answer, AnswerHypothesis, Embedding, Entailment, LayersRun, Milliseconds} from './tasks/answer.js';
export type {
  Block,
  Initializer,
  LayerVariable,
  StoredWeight,
  WeightDeclaration,
  WeightLayout,
  WeightSource,
} from './nn/block.js';
export {
  type AdapterKind,
  type ExitAdapter,
  type ExitAdapterConfig,
  ExitAdapters,
  type ExitAdaptersConfig,
} from './nn/exit-adapters.js';
export type {CollectOptions} from './training/collect-states.js';
export type {FitOptions, Measures} from './training/fit-adapter.js';
export {type AdapterTask, type TrainingRow, trainingRows} from './training/rows.js';
export {
  type AdapterOptions,
  type AdapterReport,
  type LayerReport,
  type TrainedAdapters,
  trainExitAdapters,
} from './training/train-exit-adapters.js';
export type {AnswerOptions, GenerateOptions, StreamedToken} from './tasks/generation-options.js';
export {type Embedder, EmbeddingPipeline, type TextSequencer} from './tasks/embedding-pipeline.js';
export type {AdjustedExit, CustomExit, ExitChoice, ResolvedExits, TaskName} from './tasks/exits.js';
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
  ForbiddingRule,
  GeneratedAnswer,
  Processor,
  Prompt,
  WriteOptions,
} from './tasks/processor.js';
export {CocaPipeline} from './tasks/coca-processor.js';
export {OfaPipeline, type OfaProcessor} from './tasks/ofa-processor.js';
export {ClipTokenizer, type ClipTokenizerFiles, type TokenSequence} from './data/clip-tokenizer.js';
export type {
  BadRow,
  Dataset,
  DatasetItem,
  DatasetTask,
  EntailmentLabel,
  ImageSource,
  OnBadRow,
} from './data/dataset.js';
export type {OpenedAs, RgbImage} from './data/image.js';
export {Tokenizer, type TokenizerFiles} from './data/tokenizer.js';
export type {TsvColumns, TsvField} from './data/tsv.js';
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
