import path from 'node:path';
import type {EvaluationMetrics} from '../../evaluation/metrics.js';
import {partOfShard, type Shard, WHOLE} from '../../evaluation/shard.js';
import {UsageError} from '../../runtime/errors.js';
import {type BadRowRecord, type Evaluation, finishEvaluation, makeFolder, readEvaluation} from './evaluation-folder.js';
import {claimFolder, type RunFile, readRun, runDifferences} from './run-file.js';
import {shardNames} from './shard-folder.js';
import {WriterLock} from './writer-lock.js';

/**
 * Puts finished shards together, to the files that one run would have written.
 * @param folders folders of shards, or folders that hold `shard-…` folders
 * @param output  the folder to write
 * @param whole   the part of the rows that the shards are parts of; all rows by default
 * @throws UsageError `shards-missing`, `shards-differ`, `shard-unfinished`
 * @throws InputError `folder-in-use` if another process writes to `output`
 */
export async function mergeEvaluations(
  folders: readonly string[],
  output: string,
  whole: Shard = WHOLE,
): Promise<EvaluationMetrics> {
  const shards: {readonly folder: string; readonly evaluation: Evaluation}[] = [];
  for (const folder of folders.flatMap(shardFolders)) shards.push({folder, evaluation: await readEvaluation(folder)});
  const first = shards[0];
  if (first === undefined) throw new UsageError('shards-missing', 'there is nothing to merge');
  const run: RunFile = {...first.evaluation.run, shard: whole};
  for (const {folder, evaluation} of shards) {
    const differences = runDifferences(run, evaluation.run, ['shard']);
    if (differences.length > 0)
      throw new UsageError(
        'shards-differ',
        `${folder} is no shard of the same run as ${first.folder}: ${differences.join('; ')}`,
        {
          hint: 'If it is the device that differs, name one with --device for all shards.',
        },
      );
    if (evaluation.metrics === undefined)
      throw new UsageError('shard-unfinished', `${folder} is not finished: it has no metrics.json`, {
        hint: 'Run its `mue evaluate` again: it goes on where it stopped.',
      });
  }
  checkComplete(
    shards.map(({folder, evaluation}) => ({folder, shard: evaluation.run.shard})),
    whole,
  );
  makeFolder(output);
  using _lock = WriterLock.take(output);
  claimFolder(output, run);
  return finishEvaluation(
    output,
    run,
    shards.flatMap(({evaluation}) => evaluation.rows),
    mergeBadRows(shards.map(({evaluation}) => evaluation.bad)),
  );
}

/** The folder itself if it holds a shard, else the shards in it. */
function shardFolders(folder: string): string[] {
  const run = readRun(folder);
  if (run !== undefined && run.shard.count > 1) return [folder];
  const inside = shardNames(folder);
  // A folder with neither is reported when it is read.
  return inside.length === 0 ? [folder] : inside.map((name) => path.join(folder, name));
}

function checkComplete(shards: readonly {readonly folder: string; readonly shard: Shard}[], whole: Shard): void {
  const {count} = shards[0]!.shard;
  const parts = count / whole.count;
  const found = new Map<number, string>();
  for (const {folder, shard} of shards) {
    if (shard.count !== count)
      throw new UsageError(
        'shards-differ',
        `${folder} is one of ${shard.count} shards, but ${shards[0]!.folder} one of ${count}`,
      );
    const twin = found.get(shard.index);
    if (twin !== undefined)
      throw new UsageError('shards-differ', `${folder} and ${twin} are the same shard, ${shard.index}/${count}`);
    found.set(shard.index, folder);
  }
  // The first missing ones are enough to say, whatever count a damaged file names.
  const missing: number[] = [];
  for (let j = 0; j < parts && missing.length < 10; j++) {
    const {index} = partOfShard(whole, j, parts);
    if (!found.has(index)) missing.push(index);
  }
  if (missing.length > 0 || found.size !== parts) {
    const list = missing.map((index) => `${index}/${count}`).join(', ');
    throw new UsageError(
      'shards-missing',
      `${found.size} of ${parts} shards are there${list && `; missing are ${list}`}`,
    );
  }
}

/** The skipped rows of all shards. Every shard sees every unreadable line, but only its own rows. */
function mergeBadRows(lists: readonly (readonly BadRowRecord[])[]): BadRowRecord[] {
  const unique = new Map(lists.flat().map((row) => [JSON.stringify(row), row]));
  return [...unique.values()];
}
