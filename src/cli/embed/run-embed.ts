import path from 'node:path';
import {type Shard, shardName} from '../../evaluation/shard.js';
import {dataFingerprint} from '../../node/dataset/fingerprint.js';
import {embedInto} from '../../node/runs/embeddings-folder.js';
import {openDataset} from '../../node/dataset/open.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline, Embedder} from '../../tasks/pipeline.js';
import type {ExitChoice} from '../../tasks/exits.js';
import type {CommandContext} from '../core/define-command.js';
import {eachPicture} from '../core/each-picture.js';
import type {EmbedFlags} from './embed.js';
import {exitChoice} from '../options/exit.js';
import {loadEmbedder} from './load-embedder.js';
import {readPicture} from '../core/read-picture.js';
import {shardChoice} from '../options/shard.js';

export async function runEmbed(
  [images]: readonly [string[]],
  flags: EmbedFlags,
  context: CommandContext,
): Promise<number> {
  const {out, signal} = context;
  const {text: texts = [], data} = flags;
  const asked = [images.length > 0, texts.length > 0, data !== undefined].filter(Boolean).length;
  if (asked !== 1) throw new UsageError('no-input', 'name pictures, --text or --data, one of the three');
  if ((data === undefined) !== (flags.out === undefined))
    throw new UsageError('out-missing', '--data and --out <folder> belong together');
  exitChoice(flags, 'embed');
  // What is wrong with the data is found before the model is loaded.
  const shard = data === undefined ? undefined : shardChoice(flags.shard, process.env);
  if (data !== undefined) openDataset(data, {...flags, task: 'caption'});
  using model = await loadEmbedder(flags, out);
  const exit = exitChoice(flags, 'embed', model.plans);
  model.resolveExits('embed', exit);
  if (shard) return await embedData(model, exit, flags, shard, context);
  for (const [i, {vector, notes}] of (await model.embedTexts(texts, {exit, signal})).entries()) {
    for (const note of notes) out.warn(`warning: ${note}`);
    out.data(JSON.stringify({text: texts[i], embedding: Array.from(vector)}));
  }
  return await eachPicture(images, out, async (image) => {
    const {vector} = await model.embedPicture(await readPicture(image), {exit, signal});
    out.data(JSON.stringify({image, embedding: Array.from(vector)}));
  });
}

async function embedData(
  model: VisionLanguagePipeline & Embedder,
  exit: ExitChoice,
  flags: EmbedFlags,
  shard: Shard,
  {out, signal}: CommandContext,
): Promise<number> {
  const data = flags.data!;
  const folder = shard.count > 1 ? path.join(flags.out!, shardName(shard)) : flags.out!;
  let bad = 0;
  const dataset = openDataset(data, {
    ...flags,
    task: 'caption',
    onBadRow: ({line, error}) => {
      bad++;
      out.warn(`row skipped: line ${line}: ${error.message}`);
    },
  });
  const plan =
    typeof exit === 'object'
      ? model.resolveExits('embed', exit).plan
      : exit === 'model'
        ? (model.plans?.plans['embed'] ?? 'never')
        : exit;
  const header = {
    format: 'mue-embeddings',
    version: 1,
    model: model.sha256 ?? null,
    data: await dataFingerprint(data, signal),
    exit: plan,
    exif: flags.exif,
    limit: flags.limit ?? null,
    split: flags.split ?? null,
    shard,
  };
  let said = performance.now();
  const {done, failed} = await embedInto(folder, {
    header,
    dataset,
    shard,
    limit: flags.limit,
    signal,
    embed: async ({image}) => {
      const bytes = 'bytes' in image ? image.bytes : await readPicture(image.path);
      return (await model.embedPicture(bytes, {exit, signal})).vector;
    },
    onFailed: ({id}, error) => out.warn(`picture skipped: ${id}: ${error.message}`),
    onRow: (rows) => {
      if (performance.now() - said < 10_000) return;
      said = performance.now();
      out.say(`${rows} pictures`);
    },
  });
  out.say(`${folder}: ${done} pictures${failed + bad ? `, ${failed + bad} skipped` : ''}`);
  if (done === 0 && failed + bad === 0)
    throw new InputError('dataset-empty', `${data}: there is no picture in it for this shard`);
  return failed + bad === 0 ? 0 : done === 0 ? 1 : 5;
}
