import * as tf from '@tensorflow/tfjs';
import type {EncoderOutput} from '../models/ofa/encode.js';
import {type LossBatch, taskLosses} from '../models/ofa/loss.js';
import type {OfaModel} from '../models/ofa/model.js';
import type {Block} from '../nn/block.js';
import {UsageError} from '../runtime/errors.js';
import {yieldToEventLoop} from '../runtime/yield.js';
import type {TrainingExample} from './examples.js';
import {type Objective, sumOfPasses, type UpdateContext, type UpdateSums} from './objective.js';

export const RECIPES = ['mue', 'plain'] as const;
/** `mue`: the loss after every decoder layer, summed; `plain`: after the last one alone. */
export type Recipe = (typeof RECIPES)[number];

/** OFA's task loss as it is learnt from. */
export interface TaskSettings {
  readonly recipe: Recipe;
  readonly labelSmoothing: number;
  /** Share of the tokens with the largest loss that is left out, and after how many updates that begins. */
  readonly dropWorst: number;
  readonly dropWorstAfter: number;
}

/** Fetches what the decoder reads for some examples, to be made into tensors inside the tidy that takes gradients. */
export type EncoderOf<E extends TrainingExample> = (examples: readonly E[]) => Promise<() => EncoderOutput>;

/** OFA's task loss over encodings, wherever they come from: kept ones, or those of an encoder that is trained as well. */
export class TaskObjective<E extends TrainingExample> implements Objective<E> {
  /**
   * @param model   borrowed
   * @throws UsageError `setting-invalid`
   */
  constructor(
    private readonly model: OfaModel,
    private readonly encoderOf: EncoderOf<E>,
    private readonly settings: TaskSettings,
  ) {
    checkTaskSettings(settings);
  }

  get module(): Block {
    return this.model.module;
  }

  gradients(passes: readonly (readonly E[])[], context: UpdateContext): Promise<UpdateSums> {
    return sumOfPasses(passes, (examples) => this.#pass(examples, context));
  }

  async #pass(examples: readonly E[], {update, variables, add, signal}: UpdateContext): Promise<UpdateSums> {
    const {recipe, labelSmoothing, dropWorst, dropWorstAfter} = this.settings;
    const {model} = this;
    const encode = await this.encoderOf(examples);
    await yieldToEventLoop(signal);
    const batch = lossBatch(examples);
    let tokens = 0;
    let perLayer: tf.Tensor | undefined;
    const {value, grads} = tf.variableGrads(() => {
      const losses = taskLosses(model, model.everyState(encode(), batch.inputs), batch, {
        labelSmoothing,
        dropWorst: update >= dropWorstAfter ? dropWorst : 0,
        layers: recipe === 'mue' ? 'every' : 'last',
      });
      tokens = losses.sampleSize;
      perLayer = tf.keep(tf.stack(losses.perLayer.map(({nllLoss}) => nllLoss)));
      return losses.loss;
    }, variables);
    try {
      const [loss, layers] = [await value.data(), await perLayer!.data()];
      await add(grads);
      return {loss: loss[0]!, layers: [...layers], sampleSize: tokens, tokens};
    } finally {
      tf.dispose([value, grads, perLayer!]);
    }
  }
}

function lossBatch(examples: readonly TrainingExample[]): LossBatch {
  return {
    inputs: examples.map(({inputs}) => inputs),
    targets: examples.map(({targets}) => targets),
    // One example with a list restricts the batch: the others are allowed every word.
    allowed: examples.every(({allowed}) => allowed) ? examples.map(({allowed}) => allowed!) : undefined,
    confidences: examples.some(({confidence}) => confidence !== 1)
      ? examples.map(({confidence}) => confidence)
      : undefined,
  };
}

/** @throws UsageError `setting-invalid` */
export function checkTaskSettings(settings: TaskSettings): void {
  const fail = (name: keyof TaskSettings, wanted: string): never => {
    throw new UsageError('setting-invalid', `${name} must be ${wanted}, not ${String(settings[name])}`);
  };
  if (!RECIPES.includes(settings.recipe)) fail('recipe', RECIPES.join(' or '));
  for (const name of ['labelSmoothing', 'dropWorst'] as const)
    if (!(settings[name] >= 0 && settings[name] < 1)) fail(name, 'from 0 to below 1');
  if (!Number.isSafeInteger(settings.dropWorstAfter) || settings.dropWorstAfter < 0)
    fail('dropWorstAfter', 'a whole number from 0');
}
