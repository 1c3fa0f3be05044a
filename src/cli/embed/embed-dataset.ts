import type {Dataset, OnBadRow} from '../../data/dataset.js';
import type {Shard} from '../../evaluation/shard.js';
import {dataFingerprint} from '../../node/dataset/fingerprint.js';
import {openDataset} from '../../node/dataset/open.js';
import {embedInto, ROWS} from '../../node/runs/embeddings-folder.js';
import {shardFolder} from '../../node/runs/shard-folder.js';
import {InputError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {Embedder} from '../../tasks/embedding-pipeline.js';
import type {CommandContext} from '../core/define-command.js';
import {exitCodeOf} from '../core/errors.js';
import {Hints} from '../core/inputs.js';
import {readRowPicture} from '../../node/files/read-picture.js';
import type {DatasetOptions} from '../options/dataset.js';
import type {PlanChoice} from '../options/exit.js';

/** Where images come from, and how they are read. */
export interface ImageSet extends DatasetOptions {
  /** A data set of any format, or a folder of images. */
  readonly data: string;
}

/** @throws UsageError, InputError for a data set that cannot be opened */
export function openImages({data, images, columns, split}: ImageSet, onBadRow?: OnBadRow): Dataset {
  return openDataset(data, {task: 'caption', images, columns, split, onBadRow});
}

export interface EmbedDatasetOptions extends CommandContext {
  readonly exit: PlanChoice;
  /** Where the embeddings go; those of one shard of several, into a folder of its own in it. */
  readonly folder: string;
  readonly shard: Shard;
  /** Only the first images. */
  readonly limit?: number;
  /** How the model reads images; recorded. */
  readonly exif: 'ignore' | 'apply';
}

/**
 * Embeds the images of a data set into a folder, going on with what is there.
 * @returns the exit code: 0, 5 if some images or rows failed, 1 if all did
 * @throws InputError `dataset-empty`
 */
export async function embedDataset(
  model: VisionLanguagePipeline & Embedder,
  source: ImageSet,
  {exit, folder: parent, shard, limit, exif, out, signal}: EmbedDatasetOptions,
): Promise<number> {
  const folder = shardFolder(parent, shard, ROWS);
  let badRows = 0;
  const hints = new Hints(out);
  const dataset = openImages(source, ({line, error}) => {
    badRows++;
    out.warn(`row skipped: line ${line}: ${error.message}`);
    hints.say(error);
  });
  const header = {
    format: 'mue-embeddings',
    version: 1,
    model: model.sha256 ?? null,
    data: await dataFingerprint(source.data, signal),
    exit: exitRecord(model, exit),
    exif,
    limit: limit ?? null,
    split: source.split ?? null,
    shard,
  };
  let said = performance.now();
  const {done, failed: badImages} = await embedInto(folder, {
    header,
    dataset,
    shard,
    limit,
    signal,
    embed: async ({image}) => (await model.embedPicture(readRowPicture(image), {exit, signal})).vector,
    onFailed: ({id}, error) => {
      out.warn(`picture skipped: ${id}: ${error.message}`);
      hints.say(error);
    },
    onRow: (rows) => {
      if (performance.now() - said < 10_000) return;
      said = performance.now();
      out.say(`${rows} pictures`);
    },
  });
  const failed = badImages + badRows;
  out.say(`${folder}: ${done} pictures${failed > 0 ? `, ${failed} skipped` : ''}`);
  if (done === 0 && failed === 0)
    throw new InputError('dataset-empty', `${source.data}: there is no picture in it for this shard`);
  return exitCodeOf({done, failed});
}

/** The exits as the file of embeddings records them: a plan, or the name of one that needs no model. */
function exitRecord(model: VisionLanguagePipeline, exit: PlanChoice): unknown {
  if (exit === 'never' || exit === 'release') return exit;
  if (exit === 'model') return model.plans?.plans['embed'] ?? 'never';
  return model.resolveExits('embed', exit).plan;
}
