import {type Command, Option} from 'commander';
import {runs} from '../core/define-command.js';
import {addExitOptions, addModelOptions, type ExitFlags, type ModelFlags} from '../options/model.js';
import {wholeNumber} from '../options/values.js';

export interface ExplainFlags extends ModelFlags, ExitFlags {
  readonly task: 'caption' | 'entail' | 'ask';
  readonly maxNewTokens?: number;
  readonly html?: string;
  readonly json?: boolean;
}

export function registerExplain(program: Command): void {
  const command = program
    .command('explain')
    .description(
      'Show what every layer would have said, and where the exit plan leaves: words × layers, for one picture',
    )
    .argument('<image>', 'a picture file; - reads it from stdin')
    .argument('[text]', 'the hypothesis of entail, the question of ask')
    .addOption(
      new Option('--task <name>', 'what is answered').choices(['caption', 'entail', 'ask']).default('caption'),
    );
  addExitOptions(addModelOptions(command))
    .option('--max-new-tokens <n>', 'most tokens of the answer', wholeNumber(1))
    .option('--html <file>', 'also write a page with the picture')
    .option('--json', 'print the numbers instead of the table');
  runs<readonly [string, string | undefined], ExplainFlags>(
    command,
    async () => (await import('./run-explain.js')).runExplain,
  );
}
