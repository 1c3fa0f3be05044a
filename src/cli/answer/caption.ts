import {defineCommand} from '../core/define-command.js';
import {answerSettings, withAnswer} from '../options/answer.js';
import {streamOptions, withGeneration, withStream} from '../options/generation.js';

export const caption = defineCommand({
  name: 'caption',
  summary: 'Describe pictures',
  example: 'mue caption examples/pictures/01.png',
  arguments: [
    ['<images...>', 'picture files (JPEG, PNG, WebP, GIF, BMP, TIFF), or folders of them; - reads one from stdin'],
  ],
  options: (command) => withStream(withGeneration(withAnswer(command))),
  async run([images], options, context) {
    const generation = streamOptions(options, context.out);
    const settings = await answerSettings('caption', options);
    const {answerImages} = await import('./answer-images.js');
    return await answerImages(images, settings, context, (model, image, run) =>
      model.caption(image, {...generation, ...run}),
    );
  },
});
