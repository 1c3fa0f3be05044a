import {type Command, Option} from 'commander';
import {runs} from '../core/define-command.js';
import {wholeNumber} from '../options/values.js';

export interface ConvertFlags {
  readonly arch?: string;
  readonly vocab?: string;
  readonly dtype: 'auto' | 'float16' | 'float32';
  readonly ema?: boolean;
  readonly maxShard?: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function registerConvert(program: Command): void {
  const command = program
    .command('convert')
    .description(
      'Convert a checkpoint (fairseq, open_clip or Hugging Face; .pt, .bin, .safetensors or a folder of them) to a model folder',
    )
    .argument('<checkpoint>', 'a .pt, .bin or .safetensors file, or a folder')
    .argument('<out-dir>', 'the model folder to make')
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
    .option('--json', 'the report as JSON');
  runs<readonly [string, string], ConvertFlags>(command, async () => (await import('./run-convert.js')).runConvert);
}
