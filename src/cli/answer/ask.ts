import {type Command, Option} from 'commander';
import {addAnswerOptions, type AnswerFlags} from './answer-pictures.js';
import {runs} from '../core/define-command.js';
import {addGenerationOptions, type GenerationFlags} from '../options/generation.js';

export interface AskFlags extends AnswerFlags, GenerationFlags {
  readonly answers?: string;
  readonly method?: 'trie' | 'all-candidates';
  readonly stream?: boolean;
}

export function registerAsk(program: Command): void {
  const command = program
    .command('ask')
    .description('Answer a question about a picture')
    .argument('<image>', 'a picture file; - reads it from stdin')
    .argument('<question>', 'the question');
  addGenerationOptions(addAnswerOptions(command))
    .option('--answers <file>', 'a text file with the allowed answers, one a line')
    .addOption(
      new Option('--method <name>', 'search among the allowed answers, or score each (default: trie)').choices([
        'trie',
        'all-candidates',
      ]),
    )
    .option('--stream', 'show words and their depth as they are written (one beam)');
  runs<readonly [string, string], AskFlags>(command, async () => (await import('./run-ask.js')).runAsk);
}
