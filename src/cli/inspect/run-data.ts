import path from 'node:path';
import {type ExportReport, exportDataset} from '../../node/dataset/export.js';
import {openDataset} from '../../node/dataset/open.js';
import {exportScenes} from '../../node/dataset/scenes.js';
import {UsageError} from '../../runtime/errors.js';
import type {CommandContext} from '../core/define-command.js';
import type {DataFlags} from './data.js';
import {SkippedRows} from '../core/skipped-rows.js';

export async function runData(
  [source, target]: readonly [string, string],
  flags: DataFlags,
  {out}: CommandContext,
): Promise<number> {
  const skipped = new SkippedRows(out);
  const reports = flags.scenes ? await exportScenes(source, target) : await exportOne();
  if (flags.json) out.data(JSON.stringify({sets: reports, skipped: skipped.count}, null, 2));
  else
    for (const [name, {rows, pictures, bytes}] of Object.entries(reports))
      out.data(
        `${path.join(target, `${name}.jsonl`)}  ${rows} rows, ${pictures} pictures (${(bytes / 1e6).toFixed(1)} MB)`,
      );
  return skipped.exitCode;

  async function exportOne(): Promise<Record<string, ExportReport>> {
    if (flags.task === undefined) throw new UsageError('task-missing', 'mue data needs --task caption, snli-ve or vqa');
    const {task, images, columns, split} = flags;
    const name =
      flags.name ??
      path
        .basename(source)
        .replace(/\.gz$/i, '')
        .replace(/\.(tsv|jsonl|ndjson|json)$/i, '');
    const {onBadRow} = skipped;
    return {[name]: await exportDataset(openDataset(source, {task, images, columns, split, onBadRow}), target, name)};
  }
}
