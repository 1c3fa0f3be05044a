import {type EmbeddedPictures, readEmbeddings} from '../../node/runs/embeddings-folder.js';
import {openDataset} from '../../node/dataset/open.js';
import {nearest, recallAt, similarities} from '../../metrics/retrieval.js';
import {InputError, throwIfAborted, UsageError} from '../../runtime/errors.js';
import type {Embedding} from '../../tasks/answer.js';
import type {AnswerOptions} from '../../tasks/generation-options.js';
import type {VisionLanguagePipeline, Embedder} from '../../tasks/pipeline.js';
import type {CommandContext} from '../core/define-command.js';
import {exitChoice} from '../options/exit.js';
import {loadEmbedder} from './load-embedder.js';
import {readPicture} from '../core/read-picture.js';
import type {RetrieveFlags} from './retrieve.js';

export async function runRetrieve(
  [texts]: readonly [string[]],
  flags: RetrieveFlags,
  context: CommandContext,
): Promise<number> {
  const {out, signal} = context;
  const queries = texts.length + (flags.image === undefined ? 0 : 1);
  if ((flags.data === undefined) === (flags.embeddings === undefined))
    throw new UsageError('no-input', 'name --embeddings to look for pictures in, or --data to measure recall on');
  if (flags.data !== undefined && queries > 0)
    throw new UsageError('text-unused', '--data measures recall by its own captions: leave queries out');
  if (flags.embeddings !== undefined && queries === 0)
    throw new UsageError('no-input', 'say what to look for: texts, or --image');
  const ks = recalls(flags.recall);
  exitChoice(flags, 'embed');
  if (flags.data !== undefined) openDataset(flags.data, {...flags, task: 'caption'});
  const index = flags.embeddings && (await readEmbeddings(flags.embeddings));
  using model = await loadEmbedder(flags, out);
  const exit = exitChoice(flags, 'embed', model.plans);
  model.resolveExits('embed', exit);
  const options = {exit, signal};
  if (index === undefined) return await measureRecall(model, flags, ks, options, context);
  for (const text of texts) show({text}, await model.embedText(text, options), index);
  if (flags.image !== undefined)
    show({image: flags.image}, await model.embedPicture(await readPicture(flags.image), options), index);
  return 0;

  function show(
    query: {readonly text: string} | {readonly image: string},
    {vector, notes}: Embedding,
    points: EmbeddedPictures,
  ): void {
    for (const note of notes) out.warn(`warning: ${note}`);
    if (vector.length !== points.size)
      throw new UsageError(
        'embeddings-size',
        `the embeddings have ${points.size} numbers, this model's ${vector.length}`,
        {
          hint: 'Embed the pictures with the same model.',
        },
      );
    const start = performance.now();
    const found = nearest(vector, points, flags.top).map(({row, similarity}) => ({
      image: points.images[row]!,
      similarity,
    }));
    const ms = performance.now() - start;
    if (flags.json) out.data(JSON.stringify({...query, found, ms}));
    else for (const {image, similarity} of found) out.data(`${similarity.toFixed(4)}  ${image}`);
    out.say(`${points.count} pictures searched in ${ms.toFixed(1)} ms`);
  }
}

async function measureRecall(
  model: VisionLanguagePipeline & Embedder,
  flags: RetrieveFlags,
  ks: readonly number[],
  options: AnswerOptions,
  {out, signal}: CommandContext,
): Promise<number> {
  let bad = 0;
  const skip = (what: string, message: string): void => {
    bad++;
    out.warn(`row skipped: ${what}: ${message}`);
  };
  const dataset = openDataset(flags.data!, {
    ...flags,
    task: 'caption',
    onBadRow: ({line, error}) => skip(`line ${line}`, error.message),
  });
  // Rows of one picture may follow each other, with a caption each.
  const places = new Map<string, number>();
  const pictures: Float32Array[] = [];
  const captions: Float32Array[] = [];
  const owner: number[] = [];
  for await (const {id, imageId, image, references = []} of dataset) {
    throwIfAborted(signal);
    if (references.length === 0) continue;
    if (!places.has(imageId)) {
      if (flags.limit !== undefined && places.size >= flags.limit) continue;
      try {
        const bytes = 'bytes' in image ? image.bytes : await readPicture(image.path);
        const {vector} = await model.embedPicture(bytes, options);
        places.set(imageId, pictures.length);
        pictures.push(vector);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        skip(id, error.message);
        continue;
      }
    }
    for (const {vector, notes} of await model.embedTexts(references, options)) {
      for (const note of notes) out.warn(`warning: ${id}: ${note}`);
      captions.push(vector);
      owner.push(places.get(imageId)!);
    }
  }
  if (captions.length === 0)
    throw new InputError('dataset-empty', `${flags.data}: there is no picture with a caption in it`);
  const size = captions[0]!.length;
  const values = new Float32Array(size * captions.length);
  for (const [i, vector] of captions.entries()) values.set(vector, i * size);
  const rows = pictures.map((picture) => similarities(picture, {size, count: captions.length, values}));
  const recall = recallAt(rows, owner, ks);
  if (flags.json)
    out.data(JSON.stringify({pictures: pictures.length, captions: captions.length, skipped: bad, recall}, null, 2));
  else {
    out.data(`${pictures.length} pictures, ${captions.length} captions`);
    for (const {k, textToImage, imageToText} of recall)
      out.data(
        `R@${k}  text → image ${(textToImage * 100).toFixed(2)} %  image → text ${(imageToText * 100).toFixed(2)} %`,
      );
  }
  return bad > 0 ? 5 : 0;
}

function recalls(list: string): number[] {
  const ks = list.split(',').map(Number);
  if (ks.every((k) => Number.isSafeInteger(k) && k > 0)) return ks;
  throw new UsageError('recall-invalid', `--recall: wanted whole numbers from 1 such as 1,5,10, got '${list}'`);
}
