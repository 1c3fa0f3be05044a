import path from 'node:path';
import {Option} from '@commander-js/extra-typings';
import {UsageError} from '../../runtime/errors.js';
import type {Answer} from '../../tasks/answer.js';
import {ENTAILMENT_ANSWERS} from '../../tasks/prompts.js';
import {defineCommand} from '../core/define-command.js';
import {readImage} from '../core/inputs.js';
import {parseExitOptions, withExits} from '../options/exit.js';
import {modelChoice, openModel, withModel} from '../options/model.js';
import {wholeNumber} from '../options/values.js';
import {visible} from '../../text/visible.js';

/** The library's names of the tasks. */
const TASKS = {caption: 'caption', entail: 'snli-ve', ask: 'vqa'} as const;

export const explain = defineCommand({
  name: 'explain',
  summary: 'Show what every layer would have said, and where the exit plan leaves: words × layers, for one picture',
  example: 'mue explain examples/pictures/01.png --html page.html',
  arguments: [
    ['<image>', 'a picture file; - reads it from stdin'],
    ['[text]', 'the hypothesis of entail, the question of ask'],
  ],
  options: (command) => {
    const task = new Option('--task <name>', 'what is answered')
      .choices(['caption', 'entail', 'ask'])
      .default('caption');
    return withExits(withModel(command.addOption(task)))
      .option('--max-new-tokens <n>', 'most tokens of the answer', wholeNumber(1))
      .option('--html <file>', 'also write a page with the picture')
      .option('--svg <file>', 'also write the table of words and layers as a picture for papers')
      .option('--json', 'print the numbers instead of the table');
  },
  /** Answers once at full depth and greedily, with the plan looking on. */
  async run([image, text], options, {out, signal}) {
    const {html, svg, json, maxNewTokens} = options;
    const task = TASKS[options.task];
    if (task === 'caption' && text !== undefined)
      throw new UsageError('text-unused', `a caption takes no text, but got '${text}'`, {
        hint: 'Say --task entail or --task ask.',
      });
    if (task !== 'caption' && text === undefined)
      throw new UsageError(
        'text-missing',
        `--task ${options.task} needs a ${task === 'vqa' ? 'question' : 'hypothesis'} after the picture`,
      );
    // Bad plans and missing images are found before the model is loaded.
    const choice = await parseExitOptions(options, task);
    const bytes = await readImage(image);
    const {recordingPolicy} = await import('../../exit/recording.js');
    const {cannotWrite, writeAtomic} = await import('../../node/runs/write-atomic.js');
    const {explanation} = await import('./explanation.js');
    const {explainPage} = await import('./page.js');
    const {explainSvg} = await import('./svg.js');
    const {explainText} = await import('./text.js');
    const opened = await openModel(modelChoice(options), out, signal);
    using model = opened.model;
    const {policy, mode, skippedKv} = model.resolveExits(task, choice);
    const recording = recordingPolicy(policy);
    const exits = {exit: {policy: recording.policy, mode, skippedKv}, signal};
    const greedy = {...exits, num_beams: 1, max_new_tokens: maxNewTokens};
    const answer = await answerOnce();
    for (const note of answer.notes) out.say(`warning: ${note}`);
    const explained = explanation({
      image: image === '-' ? 'stdin' : path.basename(image),
      task: options.task,
      question: text,
      policy: policy.name,
      answer,
      passes: recording.passes,
      tokenizer: model.tokenizer,
      choices: task === 'snli-ve' ? ENTAILMENT_ANSWERS : undefined,
      writer: task === 'caption' ? model.captionWriter(greedy) : undefined,
    });
    write(html, () => explainPage(explained, bytes));
    write(svg, () => explainSvg(explained));
    if (json) out.data(JSON.stringify(explained, null, 2));
    else out.styled(explainText(visibleStrings(explained), {colour: out.colours}));
    return 0;

    function write(file: string | undefined, content: () => string): void {
      if (file === undefined) return;
      try {
        writeAtomic(file, content());
      } catch (error) {
        throw cannotWrite(file, error);
      }
      out.say(`wrote ${file}`);
    }

    async function answerOnce(): Promise<Answer> {
      if (task === 'snli-ve') return await model.entail(bytes, text!, exits);
      return task === 'vqa' ? await model.ask(bytes, text!, greedy) : await model.caption(bytes, greedy);
    }
  },
});

/** Plain data whose strings a terminal shows and does not obey. */
function visibleStrings<T>(data: T): T {
  return JSON.parse(JSON.stringify(data), (_key, value: unknown) =>
    typeof value === 'string' ? visible(value) : value,
  ) as T;
}
