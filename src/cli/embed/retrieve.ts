import {nearest} from '../../metrics/retrieval.js';
import type {EmbeddedPictures} from '../../node/runs/embeddings-folder.js';
import {UsageError} from '../../runtime/errors.js';
import type {Embedding} from '../../tasks/answer.js';
import {defineCommand} from '../core/define-command.js';
import {readImage} from '../core/inputs.js';
import type {Output} from '../core/output.js';
import {withDataset} from '../options/dataset.js';
import {parseExitOptions, withExits} from '../options/exit.js';
import {modelChoice, withModel} from '../options/model.js';
import {collect, wholeNumber} from '../options/values.js';
import type {MeasuredRecall} from './measure-recall.js';

export const retrieve = defineCommand({
  name: 'retrieve',
  summary: 'Find pictures by what a text says or a picture shows; or measure recall on a data set (CoCa)',
  example: "mue retrieve --embeddings embedded 'two cupcakes in a room' --top 3",
  arguments: [['[texts...]', 'what to look for']],
  options: (command) => {
    const named = withExits(withModel(command))
      .option(
        '--embeddings <path>',
        'what `mue embed --out` wrote, a folder or file; may be given again for each shard',
        collect,
      )
      .option('--image <file>', 'look for pictures like this one')
      .option('--top <n>', 'pictures that are shown', wholeNumber(1), 5)
      .option('--data <file>', 'measure recall in both directions on pictures with captions')
      .option('--recall <list>', 'the k of recall@k', '1,5,10')
      .option('--limit <n>', '--data: only the first pictures', wholeNumber(1));
    return withDataset(named).option('--json', 'one JSON object; for queries a line each');
  },
  async run([texts], options, {out, signal}) {
    const {data, embeddings, image, images, columns, split, limit, json, top} = options;
    const queries = texts.length + (image === undefined ? 0 : 1);
    if ((data === undefined) === (embeddings === undefined))
      throw new UsageError('no-input', 'name --embeddings to look for pictures in, or --data to measure recall on');
    if (data !== undefined && queries > 0)
      throw new UsageError('text-unused', '--data measures recall by its own captions: leave queries out');
    if (embeddings !== undefined && queries === 0)
      throw new UsageError('no-input', 'say what to look for: texts, or --image');
    const ks = parseRecall(options.recall);
    const {loadEmbedder} = await import('./load-embedder.js');
    const {openImages} = await import('./embed-dataset.js');
    // Wrong exits, data or embeddings are found before the model is loaded.
    const exit = await parseExitOptions(options, 'embed');
    const source = data === undefined ? undefined : {data, images, columns, split};
    if (source) openImages(source);
    const index =
      embeddings && (await (await import('../../node/runs/embeddings-folder.js')).readEmbeddings(embeddings));
    using model = await loadEmbedder(modelChoice(options), out, signal);
    model.resolveExits('embed', exit);
    const answer = {exit, signal};
    if (source) {
      const {measureRecall} = await import('./measure-recall.js');
      const measured = await measureRecall(model, source, {ks, limit, answer, out});
      if (json) out.data(JSON.stringify(measured, null, 2));
      else for (const line of recallText(measured)) out.data(line);
      return measured.skipped > 0 ? 5 : 0;
    }
    const search = new ImageSearch(index!, top, json ?? false, out);
    for (const text of texts) search.show({text}, await model.embedText(text, answer));
    if (image !== undefined) search.show({image}, await model.embedPicture(await readImage(image), answer));
    return 0;
  },
});

/** @throws UsageError `recall-invalid` */
function parseRecall(list: string): number[] {
  const ks = list.split(',').map(Number);
  if (ks.every((k) => Number.isSafeInteger(k) && k > 0)) return ks;
  throw new UsageError('recall-invalid', `--recall: wanted whole numbers from 1 such as 1,5,10, got '${list}'`);
}

function* recallText({pictures, captions, recall}: MeasuredRecall): Generator<string> {
  const percent = (fraction: number): string => `${(fraction * 100).toFixed(2)} %`;
  yield `${pictures} pictures, ${captions} captions`;
  for (const {k, textToImage, imageToText} of recall)
    yield `R@${k}  text → image ${percent(textToImage)}  image → text ${percent(imageToText)}`;
}

/** Looks for what is most similar among embedded images, and prints it. */
class ImageSearch {
  /** @param most images that are shown for a query */
  constructor(
    private readonly index: EmbeddedPictures,
    private readonly most: number,
    private readonly json: boolean,
    private readonly out: Output,
  ) {}

  /** @throws UsageError `embeddings-size` for embeddings of another model */
  show(query: {readonly text: string} | {readonly image: string}, {vector, notes}: Embedding): void {
    for (const note of notes) this.out.warn(`warning: ${note}`);
    if (vector.length !== this.index.size)
      throw new UsageError(
        'embeddings-size',
        `the embeddings have ${this.index.size} numbers, this model's ${vector.length}`,
        {hint: 'Embed the pictures with the same model.'},
      );
    const start = performance.now();
    const found = nearest(vector, this.index, this.most).map(({row, similarity}) => ({
      image: this.index.images[row]!,
      similarity,
    }));
    const ms = performance.now() - start;
    if (this.json) this.out.data(JSON.stringify({...query, found, ms}));
    else for (const {image, similarity} of found) this.out.data(`${similarity.toFixed(4)}  ${image}`);
    this.out.say(`${this.index.count} pictures searched in ${ms.toFixed(1)} ms`);
  }
}
