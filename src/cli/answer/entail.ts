import type {Command} from 'commander';
import {addAnswerOptions, type AnswerFlags} from './answer-pictures.js';
import {runs} from '../core/define-command.js';

export interface EntailFlags extends AnswerFlags {
  readonly premise?: string;
}

export function registerEntail(program: Command): void {
  const command = program
    .command('entail')
    .description('Decide whether a picture shows what a sentence says: yes, no or maybe')
    .argument('<image>', 'a picture file; - reads it from stdin')
    .argument('<hypothesis>', 'the sentence');
  addAnswerOptions(command).option('--premise <text>', 'a text that holds, beside the picture');
  runs<readonly [string, string], EntailFlags>(command, async () => (await import('./run-entail.js')).runEntail);
}
