import fs from 'node:fs';
import path from 'node:path';
import {type Shard, shardName} from '../../evaluation/shard.js';
import {UsageError} from '../../runtime/errors.js';
import {namedEntry} from '../files/regular-file.js';

const SHARD = /^shard-\d+-of-(\d+)$/;

/** The names of the folders of shards in a folder, sorted; none if there is no such folder. */
export function shardNames(folder: string): string[] {
  if (namedEntry(folder).kind !== 'folder') return [];
  return fs
    .readdirSync(folder)
    .filter((name) => SHARD.test(name))
    .sort();
}

/**
 * The folder that a shard of a run goes to: one of its own in the folder of the run, or that folder itself for a run
 * that is not divided.
 * @param own   the name of the file that says that a folder holds an undivided run already
 * @param parts the number of workers that divide the shard once more, each with a folder of its own in the shard's
 * @throws UsageError `other-shards` if shards of another division are there: their rows would be run again
 */
export function shardFolder(output: string, shard: Shard, own: string, parts = 1): string {
  const folder = shard.count > 1 ? path.join(output, shardName(shard)) : output;
  if (shard.count > 1) checkDivision(output, shard.count);
  if (parts > 1) checkDivision(folder, shard.count * parts);
  else if (!fs.existsSync(path.join(folder, own))) checkDivision(folder, undefined);
  return folder;
}

/** @param count the number of parts of the run; undefined if the folder may hold no shard */
function checkDivision(folder: string, count: number | undefined): void {
  const other = shardNames(folder).find((name) => Number(SHARD.exec(name)![1]) !== count);
  if (other === undefined) return;
  const divided = count === undefined ? 'is not divided' : `is divided into ${count}`;
  throw new UsageError('other-shards', `${folder} holds ${other}, a part of another division: this run ${divided}`, {
    hint:
      'To run a part again, name it (--shard i/n) and leave --workers as it was; `mue merge` puts finished parts ' +
      'together. Anything else needs another folder.',
  });
}
