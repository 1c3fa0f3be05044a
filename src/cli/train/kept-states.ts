import path from 'node:path';
import {writingStack} from '../../exit/stacks.js';
import {dataFingerprint} from '../../node/dataset/fingerprint.js';
import {openDataset} from '../../node/dataset/open.js';
import {StateFile} from '../../node/runs/state-file.js';
import {InputError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import {collectStates} from '../../training/collect-states.js';
import {type AdapterTask, trainingRows} from '../../training/rows.js';
import type {CommandContext} from '../core/define-command.js';
import {readRowPicture} from '../../node/files/read-picture.js';
import type {SkippedRows} from '../core/inputs.js';
import type {DatasetOptions} from '../options/dataset.js';

export interface KeptStatesOptions extends CommandContext, DatasetOptions {
  readonly task: AdapterTask;
  readonly data: string;
  readonly limit?: number;
  /** Most captions of a picture. */
  readonly references: number;
  /** The folder of all states; each data set and task has one in it. */
  readonly place: string;
  readonly onBadRow: SkippedRows['onBadRow'];
}

/**
 * The states of a data set: those that are kept, and the missing ones computed now.
 * @param model borrowed
 * @returns the caller's
 */
export async function keptStates(
  model: VisionLanguagePipeline,
  {task, data, limit, references, images, columns, split, place, onBadRow, out, signal}: KeptStatesOptions,
): Promise<StateFile> {
  const {stacks, stateSize} = model.model;
  const stack = writingStack(stacks);
  const dataset = openDataset(data, {task, images, columns, split, onBadRow});
  const {sha256} = await dataFingerprint(data, signal);
  const most = task === 'caption' ? references : null;
  const parts = [task, sha256.slice(0, 8), limit, most === null ? undefined : `r${most}`];
  const folder = path.join(place, parts.filter((part) => part !== undefined).join('-'));
  const store = StateFile.open(folder, {
    format: 'mue-exit-states',
    version: 2,
    task,
    model: model.sha256 ?? '',
    data: sha256,
    limit: limit ?? null,
    references: most,
    stack,
    layers: stacks[stack]!,
    size: stateSize,
  });
  try {
    if (store.groups.length > 0) out.say(`${folder}: states of ${store.groups.length} pictures are there already`);
    const start = performance.now();
    let said = start;
    const onProgress = (rows: number): void => {
      if (performance.now() - said < 10_000) return;
      said = performance.now();
      out.say(`${data}: ${rows} rows, ${((said - start) / 1000).toFixed(0)} s`);
    };
    const rows = trainingRows(dataset, async ({image}) => readRowPicture(image), limit);
    const count = await collectStates(model, task, rows, store, {references, signal, onBadRow, onProgress});
    if (store.groups.length === 0) throw new InputError('data-empty', `${data} has no rows that can be used`);
    out.say(`${folder}: states of ${count} rows, ${(store.bytes / 1e6).toFixed(1)} MB; kept for another run`);
    return store;
  } catch (error) {
    store[Symbol.dispose]();
    throw error;
  }
}
