import path from 'node:path';
import type {EvaluationMetrics} from '../../evaluation/metrics.js';
import {partOfShard, shardName} from '../../evaluation/shard.js';
import type {Progress} from '../../node/runs/evaluate-into.js';
import {mergeEvaluations} from '../../node/runs/merge.js';
import {AbortError, UsageError} from '../../runtime/errors.js';
import type {CommandContext} from '../core/define-command.js';
import type {EvaluateFlags} from './evaluate.js';
import {runWorkers} from './workers.js';
import {EvaluationProgress} from './progress.js';
import {metricsText} from './metrics-text.js';
import {shardChoice} from '../options/shard.js';

export async function runEvaluate(
  _: readonly [],
  flags: EvaluateFlags,
  {out, signal}: CommandContext,
): Promise<number> {
  const shard = shardChoice(flags.shard, process.env);
  const folder = shard.count > 1 ? path.join(flags.out, shardName(shard)) : flags.out;
  if (flags.answers !== undefined && flags.task !== 'vqa')
    throw new UsageError('answers-task', '--answers is for --task vqa only');
  try {
    const metrics = await run();
    if (flags.json) out.data(JSON.stringify(metrics, null, 2));
    else out.data(metricsText(metrics));
    return exitCode(metrics);
  } catch (error) {
    if (error instanceof AbortError) out.say(`interrupted; the same command goes on where ${folder} ends`);
    throw error;
  }

  async function run(): Promise<EvaluationMetrics> {
    using progress = new EvaluationProgress(out);
    const onProgress = (now: Progress): void => progress.show(now);
    const lines = progress.lines();
    // With workers, the model is theirs: this process needs none, nor tfjs.
    if (flags.workers === 1)
      return await (await import('./shard.js')).evaluateShard(flags, folder, shard, {out: lines, signal, onProgress});
    const parts = Array.from({length: flags.workers}, (_part, j) => {
      const part = partOfShard(shard, j, flags.workers);
      return {shard: part, folder: path.join(folder, shardName(part))};
    });
    await runWorkers(flags, parts, {out: lines, signal, onProgress});
    return await mergeEvaluations(
      parts.map((part) => part.folder),
      folder,
      shard,
    );
  }
}

function exitCode({n, bad}: EvaluationMetrics): number {
  if (bad.failed + bad.unreadable === 0) return 0;
  return n === 0 ? 1 : 5;
}
