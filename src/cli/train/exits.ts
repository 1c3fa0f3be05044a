import {Option} from '@commander-js/extra-typings';
import {defineCommand} from '../core/define-command.js';
import {SkippedRows} from '../core/inputs.js';
import {withDataset} from '../options/dataset.js';
import {deviceChoice, openModel, withDevice} from '../options/model.js';
import {finiteNumber, share, wholeNumber} from '../options/values.js';

export const exits = defineCommand({
  name: 'train exits',
  summary: 'Make any model exit-ready: train small adapters, without labels, that read early states as the last layer',
  example: 'mue train exits models/ofa-base --task caption --data captions.jsonl',
  arguments: [['<model>', 'a model folder, as `mue convert` writes it, or a shipped model by its name']],
  options: (command) => {
    const task = new Option('--task <name>', 'what the adapters are for').choices(['snli-ve', 'caption'] as const);
    const kind = new Option('--kind <name>', 'bottleneck: few numbers; affine: a full matrix a layer')
      .choices(['bottleneck', 'affine'] as const)
      .default('bottleneck' as const);
    const named = command
      .addOption(task.makeOptionMandatory())
      .requiredOption('--data <file>', 'rows to learn from: JSON lines, OFA TSV, Karpathy JSON or a folder of pictures')
      .option('--test <file>', 'rows that are only measured, at every depth')
      .option('--out <file>', "the adapters' file or its folder (default: the model folder)")
      .option('--states <folder>', "where the model's states are kept (default: beside the adapters)")
      .option('--limit <n>', 'only the first rows', wholeNumber(1))
      .option('--references <n>', 'most captions of a picture that are used', wholeNumber(1), 5)
      .addOption(kind)
      .option('--width <n>', 'numbers that a bottleneck goes through (default: 32, captions 64)', wholeNumber(1))
      .option('--steps <n>', 'most updates a layer (default: 400, captions 1200)', wholeNumber(1))
      .option('--batch <n>', 'positions of an update', wholeNumber(1), 256)
      .option(
        '--learning-rate <x>',
        'of the first update; it falls to 0 (default: 0.001, captions 0.003)',
        finiteNumber,
      )
      .option(
        '--decay <x>',
        'each update shrinks matrices by this times the rate (default: 5, captions 1)',
        finiteNumber,
      )
      .option('--seed <n>', 'decides first weights and all orders', wholeNumber(0), 0)
      .option('--held-out <share>', 'share of the pictures that decides when to stop and what to keep', share, 0.2)
      .option('--labels', "learn from the rows' labels, too")
      .option('--json', 'the report as JSON');
    return withDevice(withDataset(named));
  },
  async run([name], options, {out, signal}) {
    const {task, data, test, limit, references, images, columns, split, json} = options;
    const {adaptersFile, ADAPTERS_FILE} = await import('../../node/model/exit-adapters.js');
    const {modelFolder} = await import('../../node/model/shipped-models.js');
    const {updateExitAdapters} = await import('./update-adapters.js');
    const {keptStates} = await import('./kept-states.js');
    const {adaptersFromStates, checkAdapterOptions, measureDepths} = await import(
      '../../training/train-exit-adapters.js'
    );
    const {depthsText, reportText, verdict} = await import('./text.js');
    const {TensorScope} = await import('../../runtime/tensor-scope.js');
    // Before the long pass over the rows.
    checkAdapterOptions(task, options);
    using scope = new TensorScope();
    const folder = modelFolder(name);
    // The states are those of the bare model; adapters that it has already are not looked at.
    const choice = {folder, load: {...deviceChoice(options), adapters: false}};
    const {model} = await openModel(choice, out, signal);
    scope.hold(model);
    const file = adaptersFile(options.out ?? folder);
    const skipped = new SkippedRows(out);
    const {onBadRow} = skipped;
    const place = options.states ?? file.replace(/(\.safetensors)?$/, '-states');
    const read = {task, limit, references, images, columns, split, place, onBadRow, out, signal};
    const states = scope.hold(await keptStates(model, {...read, data}));
    const start = performance.now();
    let said = start;
    const trained = await adaptersFromStates(model, task, states, {
      ...options,
      signal,
      onLook: ({layer, step, heldOut}) => {
        if (performance.now() - said < 10_000) return;
        said = performance.now();
        out.say(`layer ${layer}, update ${step}: ${heldOut.divergence.toFixed(4)} nats from the last layer`);
      },
    });
    const adapters = trained.adapters && scope.hold(trained.adapters);
    out.say(`trained in ${((performance.now() - start) / 1000).toFixed(0)} s`);
    // Given up before the test's are opened, which may be the same ones: a file of states has one holder.
    const learntFrom = states.header.data;
    scope.drop(states);
    const depths =
      test === undefined
        ? undefined
        : await measureDepths(
            model,
            task,
            scope.hold(await keptStates(model, {...read, limit: undefined, data: test})),
            adapters,
            signal,
          );
    if (adapters) await updateExitAdapters(file, task, {adapters, data: learntFrom}, folder, model);
    if (json) out.data(JSON.stringify({...trained.report, ...(depths && {test: depths})}, null, 2));
    else {
      out.data(reportText(trained.report));
      if (depths) out.data(`\n${depthsText(depths)}`);
    }
    out.say(verdict(trained.report, adapters ? file : undefined, ADAPTERS_FILE));
    return skipped.exitCode;
  },
});
