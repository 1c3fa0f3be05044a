import type {Command} from 'commander';
import {addAnswerOptions, type AnswerFlags} from './answer-pictures.js';
import {runs} from '../core/define-command.js';
import {addGenerationOptions, type GenerationFlags} from '../options/generation.js';

export interface CaptionFlags extends AnswerFlags, GenerationFlags {
  readonly stream?: boolean;
}

export function registerCaption(program: Command): void {
  const command = program
    .command('caption')
    .description('Describe pictures')
    .argument('<images...>', 'picture files (JPEG, PNG, WebP, GIF, BMP); - reads one from stdin');
  addGenerationOptions(addAnswerOptions(command)).option(
    '--stream',
    'show words and their depth as they are written (one beam)',
  );
  runs<readonly [string[]], CaptionFlags>(command, async () => (await import('./run-caption.js')).runCaption);
}
