import type {PlainValue} from '../../../checkpoint/checkpoint.js';
import {WeightsError} from '../../../runtime/errors.js';

type Fields = {readonly [key: string]: PlainValue};

const isFields = (value: PlainValue | undefined): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Hugging Face's names of settings that fairseq calls otherwise. */
const HF_SETTINGS: Readonly<Record<string, string>> = {
  d_model: 'encoder_embed_dim',
  encoder_ffn_dim: 'encoder_ffn_embed_dim',
  decoder_ffn_dim: 'decoder_ffn_embed_dim',
  activation_function: 'activation_fn',
};

/**
 * The settings that were saved with a model, under fairseq's names, whatever wrote them: a trainer's nested `cfg`
 * (`model` and `task`), a flat `args` of older trainers, a Hugging Face `config.json`, or our own. They come from a
 * file that anybody can have written, so each value is checked when it is asked for.
 */
export class OfaSettings {
  private constructor(
    private readonly model: Fields,
    private readonly task: Fields,
    /** Whether there were any. */
    readonly known: boolean,
  ) {}

  static from(cfg: PlainValue): OfaSettings {
    if (!isFields(cfg)) return new OfaSettings({}, {}, false);
    // A flat list of arguments has a task, too, but that is its name.
    if (isFields(cfg.model) || isFields(cfg.task)) {
      const [model, task] = [cfg.model, cfg.task].map((part) => (isFields(part) ? part : {})) as [Fields, Fields];
      return new OfaSettings(model, task, true);
    }
    if (!('d_model' in cfg)) return new OfaSettings(cfg, cfg, true);
    const renamed = Object.entries(cfg).map(([key, value]): [string, PlainValue] => [HF_SETTINGS[key] ?? key, value]);
    const {normformer, max_position_embeddings: positions, scale_embedding: scaled} = cfg;
    const model: Fields = {
      ...(normformer === undefined ? {} : {scale_attn: normformer, scale_fc: normformer, scale_heads: normformer}),
      ...(positions === undefined ? {} : {max_source_positions: positions, max_target_positions: positions}),
      ...(typeof scaled === 'boolean' ? {no_scale_embedding: !scaled} : {}),
      ...Object.fromEntries(renamed),
    };
    return new OfaSettings(model, model, true);
  }

  /** A setting of the task, else of the model; null is "not said". */
  private value(name: string): PlainValue | undefined {
    for (const fields of [this.task, this.model])
      if (Object.hasOwn(fields, name) && fields[name] !== null) return fields[name];
    return undefined;
  }

  count(name: string, max = 1_000_000): number | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
    throw this.bad(name, `a whole number up to ${max}`, value);
  }

  number(name: string): number | undefined {
    const value = this.value(name);
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value)))
      return value as number | undefined;
    throw this.bad(name, 'a number', value);
  }

  flag(name: string): boolean | undefined {
    const value = this.value(name);
    if (value === undefined || typeof value === 'boolean') return value;
    if (value === 0 || value === 1) return value === 1;
    throw this.bad(name, 'true or false', value);
  }

  text(name: string): string | undefined {
    const value = this.value(name);
    if (value === undefined || typeof value === 'string') return value;
    throw this.bad(name, 'text', value);
  }

  counts(name: string, length: number, max: number): readonly number[] | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    const ok = (n: PlainValue): boolean => typeof n === 'number' && Number.isInteger(n) && n > 0 && n <= max;
    if (Array.isArray(value) && value.length === length && value.every(ok)) return value as number[];
    throw this.bad(name, `${length} whole numbers from 1 to ${max}`, value);
  }

  /** Numbers exactly as many as wanted; used for means and deviations of pictures. */
  numbers(name: string, length: number): readonly number[] | undefined {
    const value = this.value(name);
    if (!Array.isArray(value)) return undefined;
    if (value.length === length && value.every((n) => typeof n === 'number' && Number.isFinite(n)))
      return value as number[];
    throw this.bad(name, `${length} numbers`, value);
  }

  /** Any value, for settings whose mere presence matters. */
  raw(name: string): PlainValue | undefined {
    return this.value(name);
  }

  private bad(name: string, wanted: string, got: PlainValue): WeightsError {
    return new WeightsError(
      'bad-config',
      `The checkpoint's setting '${name}' should be ${wanted}, but is ${JSON.stringify(got).slice(0, 80)}.`,
    );
  }
}
