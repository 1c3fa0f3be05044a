import {defineCommand} from '../core/define-command.js';
import {answerSettings, withAnswer} from '../options/answer.js';
import {streamOptions, withGeneration, withStream} from '../options/generation.js';

export const prompt = defineCommand({
  name: 'prompt',
  summary: 'Give the model any text beside a picture, and print what it writes',
  example: "mue prompt examples/pictures/06.png 'what does the image describe?'",
  arguments: [
    ['<image>', 'a picture file, or a folder of them; - reads one from stdin'],
    ['<text>', 'what the encoder reads; a leading space is added'],
  ],
  options: (command) => withStream(withGeneration(withAnswer(command))),
  async run([image, text], options, context) {
    const generation = streamOptions(options, context.out);
    const settings = await answerSettings('prompt', options);
    const {answerImages} = await import('./answer-images.js');
    return await answerImages([image], settings, context, (model, bytes, run) =>
      model.prompt(bytes, text, {...generation, ...run}),
    );
  },
});
