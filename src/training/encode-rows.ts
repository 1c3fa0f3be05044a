import * as tf from '@tensorflow/tfjs';
import {never} from '../exit/policy.js';
import type {TokenTrie} from '../generation/token-trie.js';
import {InputError, throwIfAborted} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {OfaPipeline} from '../tasks/ofa-processor.js';
import type {CollectOptions} from './collect-states.js';
import type {EncodingStore} from './encodings.js';
import {examplesOf, type TrainedTask, type TrainingExample} from './examples.js';
import {byPicture, type TrainingRow} from './rows.js';
import {checkStates} from './states.js';

/** An example, and under which key its encoding is kept. */
export interface EncodedExample extends TrainingExample {
  readonly key: string;
}

export interface EncodeRowsOptions extends Omit<CollectOptions, 'references'> {
  /** Questions: the answers that are allowed. */
  readonly allowed?: TokenTrie;
}

/**
 * Makes examples of rows, and runs the encoder once for every picture and prompt. The prompts of a picture run together,
 * whether some are kept already or none: what is kept does not depend on interruptions.
 * @param pipeline   borrowed
 * @throws           InputError for a row that cannot be used, where no `onBadRow` listens; AbortError
 */
export async function encodeRows(
  pipeline: OfaPipeline,
  task: TrainedTask,
  rows: AsyncIterable<TrainingRow>,
  store: EncodingStore,
  {signal, onBadRow, onProgress, allowed}: EncodeRowsOptions = {},
): Promise<readonly EncodedExample[]> {
  const found: EncodedExample[] = [];
  let count = 0;
  for await (const group of byPicture(rows)) {
    throwIfAborted(signal);
    const examples: TrainingExample[] = [];
    for (const row of group) {
      try {
        for (const example of examplesOf(pipeline, task, row, allowed)) examples.push(example);
      } catch (error) {
        if (!onBadRow || !(error instanceof InputError)) throw error;
        onBadRow({line: row.index + 1, error});
      }
    }
    const prompts = new Map(examples.map(({source}) => [source.join(), source]));
    const keys = new Map([...prompts.keys()].map((prompt, i) => [prompt, `${group[0]!.index}/${i}`]));
    try {
      if (![...keys.values()].every((key) => store.has(key))) {
        const encoded = await encodeGroup(pipeline, group[0]!, [...prompts.values()], signal);
        for (const [i, key] of [...keys.values()].entries()) if (!store.has(key)) store.append(key, encoded[i]!);
      }
      for (const example of examples) found.push({...example, key: keys.get(example.source.join())!});
    } catch (error) {
      if (!onBadRow || !(error instanceof InputError) || FATAL.has(error.code)) throw error;
      for (const row of group) onBadRow({line: row.index + 1, error});
    }
    count += group.length;
    onProgress?.(count);
  }
  return found;
}

/** Errors of the store, not of a picture. */
const FATAL: ReadonlySet<string> = new Set(['cannot-write', 'folder-in-use']);

/** @returns [M_b, D] of each prompt, without padding */
async function encodeGroup(
  pipeline: OfaPipeline,
  row: TrainingRow,
  prompts: readonly (readonly number[])[],
  signal: AbortSignal | undefined,
): Promise<readonly Float32Array[]> {
  using scope = new TensorScope();
  const pixels = scope.hold(await pipeline.pixels(await row.picture()));
  const {states, lengths} = scope.hold(await pipeline.model.encode({pixels, prompts}, never, {signal}));
  const parts = lengths.map((length, b) =>
    scope.hold(tf.slice(states, [b, 0, 0], [1, length, pipeline.model.stateSize])),
  );
  return await Promise.all(
    parts.map(async (part) => {
      const values = Float32Array.from(await part.data());
      checkStates(values, part.size);
      return values;
    }),
  );
}
