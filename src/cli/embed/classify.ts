import {picturePaths} from '../../node/files/picture-paths.js';
import {defineCommand} from '../core/define-command.js';
import {isFatal} from '../core/errors.js';
import {FailedImages, readImage, readList} from '../core/inputs.js';
import {ObjectPrinter} from '../core/output.js';
import {withAnswer} from '../options/answer.js';
import {parseExitOptions} from '../options/exit.js';
import {modelChoice} from '../options/model.js';
import {wholeNumber} from '../options/values.js';

export const classify = defineCommand({
  name: 'classify',
  summary: 'Say which of some labels fits a picture, without training (CoCa)',
  example: 'mue classify examples/pictures/*.png --labels labels.txt',
  arguments: [['<images...>', 'picture files, or folders of them; - reads one from stdin']],
  options: (command) =>
    withAnswer(command.requiredOption('--labels <file>', 'the labels, one a line'))
      .option('--templates <file>', 'sentences with {} for the label, one a line (default: seven built-in ones)')
      .option('--top <n>', 'labels that are shown', wholeNumber(1), 5),
  async run([names], options, {out: output, signal}) {
    const images = picturePaths(names);
    const zeroShot = await import('../../tasks/zero-shot.js');
    const {errorJson, layersText, savedPercent} = await import('../answer/format.js');
    const {ImageProgress} = await import('../core/progress.js');
    const {loadEmbedder} = await import('./load-embedder.js');
    const labels = readList(options.labels, '--labels');
    const templates = options.templates === undefined ? zeroShot.TEMPLATES : readList(options.templates, '--templates');
    // Bad lists and plans are found before the model is loaded.
    zeroShot.distinct(labels, 'labels');
    zeroShot.distinct(templates, 'templates');
    const choice = await parseExitOptions(options, 'classify');
    using model = await loadEmbedder(modelChoice(options), output, signal);
    // Checked as a plan of labels, taken as one of embeddings.
    const exit = {...model.resolveExits('classify', choice).plan!, task: undefined};
    const classifier = await zeroShot.zeroShotClassifier(model, labels, templates, {exit, signal});
    using progress = new ImageProgress(images.length, output.quiet);
    const out = progress.lines(output);
    for (const note of classifier.notes) out.warn(`warning: ${note}`);
    const format = options.jsonl ? 'jsonl' : options.json ? 'json' : 'text';
    const objects = new ObjectPrinter(out, format, images.length);
    const failures = new FailedImages(out);
    for (const image of images) {
      try {
        const {vector, layers, macs, ms} = await model.embedPicture(await readImage(image), {exit, signal});
        const found = zeroShot.classify(vector, classifier).slice(0, options.top);
        objects.add({image, label: found[0]!.label, labels: found, layers, macs, ms});
        if (format !== 'text') continue;
        const list = found.map(({label, probability}) => `${label} ${(probability * 100).toFixed(1)} %`).join(', ');
        const saved = `${savedPercent(macs).toFixed(0)} % of MACs saved`;
        out.data(`${image}  ${list}  [${layersText(layers)}; ${saved}; ${ms.total.toFixed(0)} ms]`);
      } catch (error) {
        if (isFatal(error)) throw error;
        objects.add(errorJson(image, error));
        failures.report(image, error);
      } finally {
        progress.step();
      }
    }
    objects.end();
    return failures.exitCode(images.length);
  },
});
