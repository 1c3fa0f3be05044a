import {Option} from '@commander-js/extra-typings';
import {EXPORT_FORMATS} from '../../models/export-formats.js';
import {defineCommand} from '../core/define-command.js';

export const exportCommand = defineCommand({
  name: 'export',
  summary: "Write a model folder as its authors' code reads it: fairseq's .pt for OFA, open_clip's files for CoCa",
  example: 'mue export scenes-mue fairseq --to pt',
  arguments: [
    ['<model>', 'a model folder, or a shipped model by its name'],
    ['<out-dir>', 'the folder to make'],
  ],
  options: (command) =>
    command
      .addOption(
        new Option('--to <format>', "torch's file, safetensors, or the folder of OFA's port to transformers")
          .choices(EXPORT_FORMATS)
          .makeOptionMandatory(),
      )
      .option('--force', 'replace an export that is in the folder already')
      .option('--json', 'the report as JSON'),
  async run([model, output], {to, force, json}, {out, signal}) {
    const {exportModel, formatExport} = await import('../../node/model/export.js');
    const {modelFolder} = await import('../../node/model/shipped-models.js');
    const report = await exportModel({
      input: modelFolder(model),
      output,
      to,
      force,
      signal,
      onProgress: ({file, tensors}) => out.say(`writing ${file} (${tensors} tensors) …`),
    });
    out.data(json ? JSON.stringify(report, null, 2) : formatExport(report));
    return 0;
  },
});
