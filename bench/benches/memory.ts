import fs from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import type {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import {testQuestions} from './parts.js';
import type {Row} from '../report/result-file.js';
import {summarize} from '../measure/statistics.js';

export interface MemoryOptions {
  readonly captions: number;
  readonly beams: number;
  readonly say?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Captions many pictures in one process, and measures resident memory and tensors at the 100th (or a tenth of fewer)
 * and at the end.
 */
export async function measureMemory(mue: OfaPipeline, {captions, beams, say, signal}: MemoryOptions): Promise<Row[]> {
  const pictures = testQuestions('caption-test.jsonl', 100).map(({image}) => image);
  const early = Math.min(100, Math.ceil(captions / 10));
  const rows: Row[] = [];
  const look = (count: number): void => {
    globalThis.gc?.();
    const row = (unit: 'MiB' | 'tensors', value: number): Row => ({
      group: 'memory',
      name: `after ${count} captions`,
      unit,
      ...summarize([value]),
    });
    const found = [row('MiB', process.memoryUsage().rss / 2 ** 20), row('tensors', tf.memory().numTensors)];
    rows.push(...found);
    say?.(`after ${count} captions: ${found[0]!.median.toFixed(0)} MiB resident, ${found[1]!.median} tensors`);
  };
  for (let i = 1; i <= captions; i++) {
    signal?.throwIfAborted();
    // Alternating exits, so that every path is walked.
    await mue.caption(fs.readFileSync(pictures[i % pictures.length]!), {
      exit: i % 2 ? 'model' : 'never',
      num_beams: beams,
      signal,
    });
    if (i === early || i === captions || i % 500 === 0) look(i);
  }
  return rows;
}
