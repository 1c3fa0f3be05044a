import * as tf from '@tensorflow/tfjs';
import {hostMemory} from '../../src/runtime/kernels.js';
import type {ExitPolicy} from '../../src/exit/policy.js';
import type {Decoding} from '../../src/models/model.js';
import type {OfaModel} from '../../src/models/ofa/model.js';
import {CLOCKS, type ClockName} from '../measure/clock.js';
import {firstTensor} from '../measure/cases.js';
import {type MethodName, Stopwatch} from '../measure/stopwatch.js';

/** The parts of an answer, in the order in which they run; time in none of them is the rest. */
export const PARTS = [
  'decode picture',
  'resize, normalise',
  'ResNet',
  'patch embedding',
  'image stream',
  'text stream',
  'final norm',
  'decoder start',
  'cross keys and values',
  'decoder layers',
  'logits',
  'beam reorder',
  'deciding',
  'rest (search, glue)',
] as const;
export type Part = (typeof PARTS)[number];

/**
 * Puts the methods of a model's parts on the clock, for as long as the model lives. The names of methods are checked by
 * the compiler. On a GPU each part is waited for, which costs a little more than it takes alone.
 */
export function watchModel(model: OfaModel, clock: ClockName): Stopwatch {
  const watch = new Stopwatch((result) => {
    if (!hostMemory()) settle(result);
  }, CLOCKS[clock]);
  const {encoder, decoder, encoding, scoring} = model;
  const part = <T extends object>(object: T, method: MethodName<T>, name: Part): void =>
    watch.watch(object, method, name);
  part(encoder.resnet, 'forward', 'ResNet');
  part(encoding, 'imageStream', 'patch embedding');
  part(encoding, 'runImage', 'image stream');
  part(encoding, 'textStream', 'text stream');
  part(encoding, 'runText', 'text stream');
  part(encoding, 'finish', 'final norm');
  part(decoder, 'logits', 'logits');
  for (const layer of decoder.layers) part(layer, 'crossKv', 'cross keys and values');
  part(scoring, 'run', 'decoder layers');
  const {startDecoding} = model;
  model.startDecoding = (...args) => {
    const decoding = watch.time('decoder start', () => startDecoding.apply(model, args));
    part<Decoding>(decoding, 'step', 'decoder layers');
    part<Decoding>(decoding, 'reorder', 'beam reorder');
    return decoding;
  };
  return watch;
}

/** A policy whose looks at states are on the clock. */
export function watchPolicy(policy: ExitPolicy, watch: Stopwatch): ExitPolicy {
  return {name: policy.name, observe: (...args) => watch.time('deciding', () => policy.observe(...args))};
}

/** Waits for a device. It blocks, because a stopwatch cannot await inside a synchronous call. */
function settle(result: unknown): void {
  const tensor = firstTensor(result);
  if (tensor) tf.tidy(() => tf.slice(tensor.flatten(), [0], [1]).dataSync());
}
