import {picturePaths} from '../../node/files/picture-paths.js';
import {UsageError} from '../../runtime/errors.js';
import {defineCommand} from '../core/define-command.js';
import {isFatal} from '../core/errors.js';
import {FailedImages, readImage} from '../core/inputs.js';
import {withDataset} from '../options/dataset.js';
import {parseExitOptions, withExits} from '../options/exit.js';
import {modelChoice, withModel} from '../options/model.js';
import {shardChoice} from '../options/shard.js';
import {wholeNumber} from '../options/values.js';

export const embed = defineCommand({
  name: 'embed',
  summary: 'Embeddings of pictures and texts: JSON lines of unit length (CoCa)',
  example: 'mue embed --data examples/pictures --out embedded',
  arguments: [['[images...]', 'picture files, or folders of them; - reads one from stdin']],
  options: (command) => {
    const named = withExits(withModel(command))
      .option('--text <texts...>', 'texts')
      .option('--data <file>', 'the pictures of a data set or folder, into --out')
      .option('--out <folder>', 'embeddings.jsonl and embeddings.npy; the same command goes on where it was stopped')
      .option(
        '--shard <i/n>',
        'every n-th picture from the i-th (from 0), into a folder of its own in --out (default: from the job array)',
      )
      .option('--limit <n>', 'only the first pictures', wholeNumber(1));
    return withDataset(named);
  },
  async run([names], options, {out, signal}) {
    const images = picturePaths(names);
    const {text: texts = [], data, out: folder, images: imageFolder, columns, split, limit, exif} = options;
    const asked = [images.length > 0, texts.length > 0, data !== undefined].filter(Boolean).length;
    if (asked !== 1) throw new UsageError('no-input', 'name pictures, --text or --data, one of the three');
    if ((data === undefined) !== (folder === undefined))
      throw new UsageError('out-missing', '--data and --out <folder> belong together');
    const {embedDataset, openImages} = await import('./embed-dataset.js');
    const {loadEmbedder} = await import('./load-embedder.js');
    // Wrong exits or data are found before the model is loaded.
    const exit = await parseExitOptions(options, 'embed');
    const source = data === undefined ? undefined : {data, images: imageFolder, columns, split};
    const shard = source && shardChoice(options.shard, process.env);
    if (source) openImages(source);
    using model = await loadEmbedder(modelChoice(options), out, signal);
    model.resolveExits('embed', exit);
    if (source)
      return await embedDataset(model, source, {exit, folder: folder!, shard: shard!, limit, exif, out, signal});
    for (const [i, {vector, notes}] of (await model.embedTexts(texts, {exit, signal})).entries()) {
      for (const note of notes) out.warn(`warning: ${note}`);
      out.data(JSON.stringify({text: texts[i], embedding: Array.from(vector)}));
    }
    const failures = new FailedImages(out);
    for (const image of images) {
      try {
        const {vector} = await model.embedPicture(await readImage(image), {exit, signal});
        out.data(JSON.stringify({image, embedding: Array.from(vector)}));
      } catch (error) {
        if (isFatal(error)) throw error;
        failures.report(image, error);
      }
    }
    return failures.exitCode(images.length);
  },
});
