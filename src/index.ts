// The public API, as a table of contents. Nothing here touches a platform; `mue-tfjs/node` loads models on Node.
export {fixed} from './exit/policies/static.js';
export {type ExitPlan, type ExitPlans, parsePlan, type StackPlan} from './exit/plan/schema.js';
export {createPolicy as planPolicy} from './exit/plan/policies.js';
export {
  releasePlan,
  similarityPlan,
  thresholdPlan,
  type Thresholds,
  type PlanDefaults as ThresholdSurroundings,
} from './exit/plan/presets.js';
export {type ExitPolicy, never, type Observation, type Position, type StackName} from './exit/policy.js';
export {runStack} from './exit/run-stack.js';
export {type Schedule, type ScheduleName, thresholdAt} from './exit/policies/threshold.js';
export {type Mode, similarity} from './exit/policies/similarity.js';
export type {SkippedKv} from './exit/skipped-kv-cache.js';
export {stackPolicies} from './exit/policy.js';
export type {Macs, StackTrace} from './exit/trace.js';
export {
  fairseqBeamSearch as beamSearch,
  type Hypothesis,
  type SearchOptions,
} from './generation/fairseq-beam-search.js';
export {TokenTrie} from './generation/token-trie.js';
export type {Decoding, Encoded, VisionLanguageModel} from './models/model.js';
export {type LossBatch, type LossOptions, type TaskLoss, taskLoss} from './models/ofa/loss.js';
export {OfaModel} from './models/ofa/model.js';
export {AbortError, BackendError, InputError, MueError, UsageError, WeightsError} from './runtime/errors.js';
export {TensorScope} from './runtime/tensor-scope.js';
export {nearest, type Neighbour, type Points, type Recall, recallAt} from './metrics/retrieval.js';
export type {Answer, Embedding, Entailment} from './tasks/answer.js';
export {type AdapterKind, ExitAdapters} from './nn/exit-adapters.js';
export {type TrainingRow, trainingRows} from './training/rows.js';
export {
  type AdapterOptions,
  type AdapterReport,
  type TrainedAdapters,
  trainExitAdapters,
} from './training/train-exit-adapters.js';
export type {AnswerOptions, GenerateOptions, StreamedToken} from './tasks/generation-options.js';
export type {AskOptions, VisionLanguagePipeline as Assistant} from './tasks/pipeline.js';
export type {Embedder} from './tasks/embedding-pipeline.js';
export type {ExitChoice} from './tasks/exits.js';
export {CocaPipeline as ContrastiveCaptioner} from './tasks/coca-processor.js';
export {OfaPipeline as Mue} from './tasks/ofa-processor.js';
export {type Classified, type Classifier, classify, TEMPLATES, zeroShotClassifier} from './tasks/zero-shot.js';
