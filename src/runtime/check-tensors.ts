import {Tensor} from '@tensorflow/tfjs';
import {kind, type Kind} from './check-arguments.js';

/** A tensor, whatever its shape, that was not disposed. Apart from the other kinds: what checks those loads no tfjs. */
export const TENSOR: Kind = kind(
  'a tensor that was not disposed',
  (value) => value instanceof Tensor && !value.isDisposed,
);
