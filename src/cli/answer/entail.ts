import {defineCommand} from '../core/define-command.js';
import {answerSettings, withAnswer} from '../options/answer.js';

export const entail = defineCommand({
  name: 'entail',
  summary: 'Decide whether a picture shows what a sentence says: yes, no or maybe',
  example: "mue entail examples/pictures/06.png 'there is a dog'",
  arguments: [
    ['<image>', 'a picture file, or a folder of them; - reads one from stdin'],
    ['<hypothesis>', 'the sentence'],
  ],
  options: (command) => withAnswer(command).option('--premise <text>', 'a text that holds, beside the picture'),
  async run([image, hypothesis], options, context) {
    const {premise} = options;
    const settings = await answerSettings('snli-ve', options);
    const {answerImages} = await import('./answer-images.js');
    return await answerImages([image], settings, context, (model, bytes, run) =>
      model.entail(bytes, hypothesis, {premise, ...run}),
    );
  },
});
