import {Option} from '@commander-js/extra-typings';
import {defineCommand} from '../core/define-command.js';
import {wholeNumber} from '../options/values.js';

export const convert = defineCommand({
  name: 'convert',
  summary:
    'Convert a checkpoint (fairseq, open_clip or Hugging Face; .pt, .bin, .safetensors or a folder of them) to a model folder',
  example: 'mue convert ofa_base.pt models/ofa-base',
  arguments: [
    ['<checkpoint>', 'a .pt, .bin or .safetensors file, or a folder'],
    ['<out-dir>', 'the model folder to make'],
  ],
  options: (command) =>
    command
      .option('--arch <name>', 'architecture of weights that come without a configuration, e.g. coca_ViT-B-32')
      .option(
        '--vocab <path>',
        "folder with the vocabulary, or its file (default: the checkpoint's, else the built-in one)",
      )
      .addOption(
        new Option('--dtype <name>', 'auto keeps halves where they lose nothing')
          .choices(['auto', 'float16', 'float32'])
          .default('auto'),
      )
      .option('--ema', 'take the moving average of the weights')
      .option('--max-shard <MB>', 'most megabytes of one file of weights (default: 2000)', wholeNumber(1))
      .option('--force', 'replace a model that is in the folder already')
      .option('--json', 'the report as JSON'),
  async run([input, output], {arch, vocab, dtype, ema, force, maxShard, json}, {out, signal}) {
    const {convertCheckpoint} = await import('../../node/model/convert.js');
    const {formatReport} = await import('../../node/model/convert-report.js');
    const report = await convertCheckpoint({
      input,
      output,
      architecture: arch,
      vocab,
      dtype,
      ema,
      force,
      maxShardBytes: maxShard === undefined ? undefined : maxShard * 1e6,
      signal,
      onProgress: ({status, file, total}) => {
        if (status === 'initiate') out.say(`writing ${file} (${total} tensors in all) …`);
      },
    });
    out.data(json ? JSON.stringify(report, null, 2) : formatReport(report));
    return 0;
  },
});
