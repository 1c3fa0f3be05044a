import type * as tf from '@tensorflow/tfjs';
import {type Confidence, confidences} from './policies/confidence.js';
import {cosine} from './policies/cosine.js';
import type {ExitPolicy, Position, StackName} from './policy.js';
import {producesTokens} from './stacks.js';

/** Measures of one layer of one pass. */
export interface LayerReading {
  /** Layers run so far, from 1. */
  readonly layer: number;
  /** cos(before, after) of the whole tensors. */
  readonly similarity: number;
  /** Confidence of the next token of every row, where the stack has a head. */
  readonly confidences?: readonly Confidence[];
  /** Logits in a row: the vocabulary, or the allowed answers, which `argmax` then counts. */
  readonly words?: number;
  /**
   * Score of the wrapped policy, and the threshold it was compared with; absent where it did not look, and above its
   * exit.
   */
  readonly score?: number;
  readonly threshold?: number;
}

/** One pass through a stack. */
export interface RecordedPass {
  readonly stack: StackName;
  /** Decoding step, absent in encoders and scoring. */
  readonly step?: number;
  readonly depth: number;
  readonly layers: readonly LayerReading[];
  /** The layer after which the policy said stop; undefined if it never did. */
  readonly exit: number | undefined;
}

export interface RecordingOptions {
  /** Take the exits of the policy. By default every layer runs, and its exits are only noted. */
  readonly follow?: boolean;
  /** Stacks whose states have word scores; default: those that write. */
  readonly heads?: readonly StackName[];
}

/** A policy that watches, and what it saw. */
export interface Recording {
  readonly policy: ExitPolicy;
  /** In the order in which they ran; grows while the policy is used. */
  readonly passes: readonly RecordedPass[];
}

interface Pass {
  stack: StackName;
  step?: number;
  depth: number;
  layers: LayerReading[];
  exit: number | undefined;
}

/**
 * Wraps a policy and keeps similarity, margin, maximum, entropy and likeliest word after every layer, the last
 * included. Where layers above the policy's exit run (the default), it is not asked about them: it would never have
 * seen them. Costs the logits of every layer; one recording is for one answer at a time.
 */
export function recordingPolicy(inner: ExitPolicy, {follow = false, heads}: RecordingOptions = {}): Recording {
  const passes: Pass[] = [];
  return {
    passes,
    policy: {
      name: inner.name,
      stacks: inner.stacks,
      skips: (stack) => follow && (inner.skips?.(stack) ?? false),
      observe: async (before, after, at, logits) => {
        const pass = at.layer === 1 ? begin(passes, at) : passes.at(-1)!;
        const seen = pass.exit === undefined ? await inner.observe(before, after, at, logits) : undefined;
        const head = (heads ? heads.includes(at.stack) : producesTokens(at.stack)) ? await words(logits()) : {};
        pass.layers.push({
          layer: at.layer,
          similarity: await cosine(before, after),
          ...head,
          ...(seen?.score === undefined ? {} : {score: seen.score}),
          ...(seen?.threshold === undefined ? {} : {threshold: seen.threshold}),
        });
        if (seen?.exit) pass.exit = at.layer;
        return follow && seen ? seen : {exit: false};
      },
    },
  };
}

function begin(passes: Pass[], {stack, step, depth}: Position): Pass {
  const pass: Pass = {stack, ...(step === undefined ? {} : {step}), depth, layers: [], exit: undefined};
  passes.push(pass);
  return pass;
}

async function words(
  logits: tf.Tensor2D,
): Promise<{readonly confidences: readonly Confidence[]; readonly words: number}> {
  return {confidences: await confidences(logits), words: logits.shape[1]};
}
