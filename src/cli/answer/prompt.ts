import type {Command} from 'commander';
import {addAnswerOptions} from './answer-pictures.js';
import type {CaptionFlags} from './caption.js';
import {runs} from '../core/define-command.js';
import {addGenerationOptions} from '../options/generation.js';

export function registerPrompt(program: Command): void {
  const command = program
    .command('prompt')
    .description('Give the model any text beside a picture, and print what it writes')
    .argument('<image>', 'a picture file; - reads it from stdin')
    .argument('<text>', 'what the encoder reads; a leading space is added');
  addGenerationOptions(addAnswerOptions(command)).option(
    '--stream',
    'show words and their depth as they are written (one beam)',
  );
  runs<readonly [string, string], CaptionFlags>(command, async () => (await import('./run-prompt.js')).runPrompt);
}
