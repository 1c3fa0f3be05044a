import {defineCommand} from '../core/define-command.js';

export const inspect = defineCommand({
  name: 'inspect',
  summary: 'Show what is in a model folder or a checkpoint: configuration, parameters by part, shapes',
  example: 'mue inspect models/ofa-base --no-tensors',
  arguments: [['[model]', 'a model folder, a shipped model by its name, or a checkpoint (default: scenes-mue)']],
  options: (command) =>
    command
      .option('--ema', 'look at the moving average of the weights')
      .option('--no-tensors', 'leave out the list of tensors')
      .option('--json', 'everything as JSON'),
  async run([model], {ema, tensors, json}, {out}) {
    const {formatInspection, inspect} = await import('../../node/model/inspect.js');
    const {modelFolder} = await import('../../node/model/shipped-models.js');
    const inspection = await inspect(modelFolder(model ?? 'scenes-mue'), {which: ema ? 'ema' : 'model'});
    out.data(json ? JSON.stringify(inspection, null, 2) : formatInspection(inspection, tensors));
    return 0;
  },
});
