import {mergeEvaluations} from '../../node/runs/merge.js';
import type {CommandContext} from '../core/define-command.js';
import type {MergeFlags} from './merge.js';
import {metricsText} from './metrics-text.js';

export async function runMerge(
  [folders]: readonly [string[]],
  {out: folder, json}: MergeFlags,
  {out}: CommandContext,
): Promise<number> {
  const metrics = await mergeEvaluations(folders, folder);
  out.data(json ? JSON.stringify(metrics, null, 2) : metricsText(metrics));
  return metrics.bad.failed + metrics.bad.unreadable > 0 ? 5 : 0;
}
