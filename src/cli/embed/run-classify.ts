import {classify, distinct, TEMPLATES, zeroShotClassifier} from '../../tasks/zero-shot.js';
import {errorJson, layersText, savedPercent} from '../answer/format.js';
import type {ClassifyFlags} from './classify.js';
import type {CommandContext} from '../core/define-command.js';
import {eachPicture} from '../core/each-picture.js';
import {exitChoice} from '../options/exit.js';
import {loadEmbedder} from './load-embedder.js';
import {readList} from '../core/read-list.js';
import {readPicture} from '../core/read-picture.js';

export async function runClassify(
  [images]: readonly [string[]],
  flags: ClassifyFlags,
  {out, signal}: CommandContext,
): Promise<number> {
  const labels = readList(flags.labels, '--labels');
  const templates = flags.templates === undefined ? TEMPLATES : readList(flags.templates, '--templates');
  // Bad lists and plans are found before the model is loaded.
  distinct(labels, 'labels');
  distinct(templates, 'templates');
  exitChoice(flags, 'embed');
  using model = await loadEmbedder(flags, out);
  const exit = exitChoice(flags, 'embed', model.plans);
  model.resolveExits('embed', exit);
  const classifier = await zeroShotClassifier(model, labels, templates, {exit, signal});
  for (const note of classifier.notes) out.warn(`warning: ${note}`);
  const objects: object[] = [];
  const give = (object: object): void => {
    if (flags.jsonl) out.data(JSON.stringify(object));
    else objects.push(object);
  };
  const code = await eachPicture(
    images,
    out,
    async (image) => {
      const {vector, layers, macs, ms} = await model.embedPicture(await readPicture(image), {exit, signal});
      const found = classify(vector, classifier).slice(0, flags.top);
      if (flags.json || flags.jsonl) give({image, label: found[0]!.label, labels: found, layers, macs, ms});
      else {
        const list = found.map(({label, probability}) => `${label} ${(probability * 100).toFixed(1)} %`).join(', ');
        out.data(
          `${image}  ${list}  [${layersText(layers)}; ${savedPercent(macs).toFixed(0)} % of MACs saved; ${ms.total.toFixed(0)} ms]`,
        );
      }
    },
    (image, error) => {
      if (flags.json || flags.jsonl) give(errorJson(image, error));
    },
  );
  if (flags.json && !flags.jsonl) out.data(JSON.stringify(images.length === 1 ? objects[0] : objects, null, 2));
  return code;
}
