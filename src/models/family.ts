import type {z} from 'zod';
import type {Checkpoint, PlainValue} from '../checkpoint/checkpoint.js';
import type {StoredWeight, WeightSource} from '../nn/block.js';
import type {ExportFormat} from './export-formats.js';
import type {ModelExport} from './export.js';
import type {VisionLanguageModel} from './model.js';
import type {ImportedWeight, ModelImport} from './weights.js';

/** The beginning of every converted model's `config.json`. */
export interface ModelConfig {
  readonly format: 'mue-tfjs';
  readonly version: 1;
  readonly family: string;
}

/** The files of a model's vocabulary: fairseq's dictionary over GPT-2's byte pairs, or CLIP's list of merges. */
export type VocabularyKind =
  | {
      readonly kind: 'dictionary';
      readonly vocab_size: number;
      readonly code_dict_size: number;
      readonly num_bins: number;
    }
  | {readonly kind: 'merges'; readonly vocab_size: number};

/** A model family, as files, reports and loaders use it: one object in its folder, one line in `families.ts`. */
export interface ModelFamily<C extends ModelConfig = ModelConfig> {
  readonly name: string;
  readonly configSchema: z.ZodType<C>;
  /** Architectures whose configuration can be asked for by name, where a checkpoint has none. */
  readonly architectures: readonly string[];
  /** Whether tensor names are those of the authors' checkpoints. */
  recognises(names: readonly string[]): boolean;
  /**
   * Compares a checkpoint with the model that its configuration asks for.
   * @throws WeightsError naming everything that does not fit
   */
  plan(checkpoint: Checkpoint, cfg: PlainValue, architecture?: string): ModelImport<C>;
  /** Checks on a weight's values that need the rest of the checkpoint. @throws WeightsError */
  check?(checkpoint: Checkpoint, weight: ImportedWeight, values: Float32Array): Promise<void>;
  /** Every weight, in the order in which they are stored. */
  weights(config: C): readonly StoredWeight[];
  /** The part of the model that a weight belongs to. */
  partOf(name: string): string;
  /** The model in one line. */
  describe(config: C): string;
  vocabulary(config: C): VocabularyKind;
  /**
   * How a model looks in its authors' files.
   * @throws WeightsError `cannot-export` for a format that has no place for it
   */
  export(config: C, format: ExportFormat): ModelExport;
  /** @throws WeightsError if names or shapes do not match the configuration, both ways */
  load(config: C, weights: WeightSource): Promise<VisionLanguageModel>;
}
