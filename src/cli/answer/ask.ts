import {Option} from '@commander-js/extra-typings';
import {UsageError} from '../../runtime/errors.js';
import {defineCommand} from '../core/define-command.js';
import {readAnswers} from '../core/inputs.js';
import {answerSettings, withAnswer} from '../options/answer.js';
import {streamOptions, withGeneration, withStream} from '../options/generation.js';

export const ask = defineCommand({
  name: 'ask',
  summary: 'Answer a question about a picture',
  example: "mue ask examples/pictures/06.png 'what animal is in the picture?'",
  arguments: [
    ['<image>', 'a picture file, or a folder of them; - reads one from stdin'],
    ['<question>', 'the question'],
  ],
  options: (command) => {
    const among = withGeneration(withAnswer(command))
      .option('--answers <file>', 'a text file with the allowed answers, one a line')
      .addOption(
        new Option('--method <name>', 'search among the allowed answers, or score each (default: trie)').choices([
          'trie',
          'all-candidates',
        ]),
      );
    return withStream(among);
  },
  async run([image, question], options, context) {
    const {method} = options;
    const answers = options.answers === undefined ? undefined : readAnswers(options.answers);
    if (method && !answers) throw new UsageError('method-without-answers', `--method ${method} needs --answers <file>`);
    const generation = streamOptions(options, context.out);
    const settings = await answerSettings('vqa', options);
    const {answerImages} = await import('./answer-images.js');
    return await answerImages([image], settings, context, (model, bytes, run) =>
      model.ask(bytes, question, {...generation, ...run, answers, method}),
    );
  },
});
