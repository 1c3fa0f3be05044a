import {Option} from '@commander-js/extra-typings';
import {UsageError} from '../../runtime/errors.js';
import {defineCommand} from '../core/define-command.js';
import {readAnswers, SkippedRows} from '../core/inputs.js';
import {withDataset} from '../options/dataset.js';
import {deviceChoice, withDevice} from '../options/model.js';
import {collect, finiteNumber, wholeNumber} from '../options/values.js';

/** Decoder depths, `3,4`. */
function depthList(text: string): readonly number[] {
  return text.split(',').map(wholeNumber(1));
}

export const train = defineCommand({
  name: 'train',
  summary: "Train an OFA's decoder with a loss after every layer, or a whole CoCa",
  example: 'mue train models/ofa-base --task snli-ve --data train.jsonl --validate dev.jsonl --out runs/ve',
  arguments: [['<model>', 'a model folder, as `mue convert` writes it, or a shipped model by its name']],
  options: (command) => {
    // Not mandatory to commander: it would ask `train exits` for them, too.
    const named = command
      .addOption(new Option('--task <name>', 'what is learnt').choices(['snli-ve', 'caption', 'vqa'] as const))
      .option('--data <file>', 'rows with answers: whatever `mue evaluate` reads')
      .option('--out <folder>', 'the run: log, state, and the models best and last; one that is there goes on')
      .addOption(
        new Option(
          '--recipe <name>',
          'OFA, mue: the loss of every decoder layer; plain: of the last one. CoCa, coca: captions and contrast',
        )
          .choices(['mue', 'plain', 'coca'] as const)
          .default('mue' as const),
      )
      .option('--validate <file>', 'rows that decide which weights are the best')
      .option('--validate-limit <n>', 'only the first of them', wholeNumber(1))
      .option(
        '--depths <list>',
        'depths that a validation looks at besides the full one: 3,4; of decoder or image tower',
        depthList,
      )
      .option('--every <n>', 'updates between validations (default: once an epoch)', wholeNumber(1))
      .option('--limit <n>', 'only the first rows of the data', wholeNumber(1))
      .option('--answers <file>', 'vqa: the answers that are allowed, one a line')
      .option('--states <folder>', "where the encoder's states are kept (default: in the run)")
      .option('--epochs <n>', 'times that every row is learnt from (default: 10)', wholeNumber(1))
      .option('--updates <n>', 'updates in all, instead of epochs', wholeNumber(1))
      .option('--batch <n>', 'rows of a pass (default: 24)', wholeNumber(1))
      .option('--accumulate <n>', 'passes of an update (default: 1)', wholeNumber(1))
      .option('--learning-rate <x>', 'the largest one (default: 0.0001, coca 0.0005)', finiteNumber)
      .addOption(
        new Option(
          '--schedule <name>',
          'how the learning rate falls (default: polynomial, a straight line; coca: cosine)',
        ).choices(['polynomial', 'cosine', 'constant'] as const),
      )
      .option('--warmup <share>', 'share of the updates in which it rises (default: 0.06)', finiteNumber)
      .option('--clip <x>', 'largest norm of the gradients; 0: any (default: 1)', finiteNumber)
      .option('--decay <x>', 'decoupled decay of all weights (default: 0.01); coca: of matrices (0.2)', finiteNumber)
      .option('--label-smoothing <x>', 'default: 0.1, snli-ve and coca 0', finiteNumber)
      .option('--drop-worst <share>', 'share of the tokens with the largest loss that is left out', finiteNumber)
      .option('--drop-worst-after <n>', 'updates before that begins', wholeNumber(0))
      .option('--captions <n>', 'coca: captions of a picture in an update (default: 1)', wholeNumber(1))
      .option(
        '--cuts <p>',
        'coca: how often a picture or text leaves its tower after a random layer (default: 0)',
        finiteNumber,
      )
      .option('--crop <share>', 'coca: least share of a picture that a random crop keeps (default: 0.9)', finiteNumber)
      .option('--caption-weight <x>', 'coca: of the caption loss (default: 2)', finiteNumber)
      .option('--contrastive-weight <x>', 'coca: of the contrastive loss (default: 1)', finiteNumber)
      .addOption(
        new Option(
          '--init <where>',
          "coca: begin with the model's weights, or with random ones (default: model)",
        ).choices(['model', 'random'] as const),
      )
      .option('--freeze <pattern>', "weights that stay as they are, besides OFA's encoder.*; may be repeated", collect)
      .option('--seed <n>', 'decides the order of the rows, and everything that is drawn', wholeNumber(0))
      .option('--plan', 'measure two updates, say what the run takes, and stop')
      .option('--json', 'the last update, or the plan, as JSON');
    return withDevice(withDataset(named));
  },
  async run([model], options, {out, signal}) {
    const {task, data, out: folder, images, columns, split, answers, json} = options;
    if (task === undefined || data === undefined || folder === undefined)
      throw new UsageError('usage', `mue train needs --task, --data and --out`, {hint: 'See mue train --help.'});
    if (answers !== undefined && task !== 'vqa')
      throw new UsageError('answers-task', '--answers is for --task vqa only');
    const {Trainer} = await import('../../node/training/trainer.js');
    const {planText, stepText, Throttle} = await import('./train-text.js');
    const skipped = new SkippedRows(out);
    const encoding = new Throttle();
    const trainer = {
      ...options,
      ...{model, task, data, out: folder, signal, onBadRow: skipped.onBadRow},
      dataset: {images, columns, split},
      load: deviceChoice(options),
      answers: answers === undefined ? undefined : readAnswers(answers),
      onEncoded: (rows: number) => encoding.pass((s) => out.say(`${data}: ${rows} rows ready, ${s.toFixed(0)} s`)),
    };
    if (options.plan) {
      const {planTraining} = await import('../../node/training/plan.js');
      const plan = await planTraining(trainer);
      out.data(json ? JSON.stringify(plan, null, 2) : planText(plan));
      return skipped.exitCode;
    }
    using training = await Trainer.open(trainer);
    const {update, updates, examples, trained} = training;
    if (update > 0) out.say(`${folder}: goes on after update ${update} of ${updates}`);
    out.say(`${examples} examples, ${(trained / 1e6).toFixed(2)} M numbers to train, ${updates} updates`);
    const said = new Throttle();
    let last: object | undefined;
    for await (const step of training) {
      if (step.validation) out.say(stepText(step));
      else said.pass(() => out.say(stepText(step)));
      last = step;
    }
    if (json) out.data(JSON.stringify(last ?? {update, updates}, null, 2));
    out.say(`${folder}/${options.validate === undefined ? 'last' : 'best'}: a model folder that every command takes`);
    return skipped.exitCode;
  },
});
