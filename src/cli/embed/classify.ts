import type {Command} from 'commander';
import {addAnswerOptions, type AnswerFlags} from '../answer/answer-pictures.js';
import {runs} from '../core/define-command.js';
import {wholeNumber} from '../options/values.js';

export interface ClassifyFlags extends AnswerFlags {
  readonly labels: string;
  readonly templates?: string;
  readonly top: number;
}

export function registerClassify(program: Command): void {
  const command = program
    .command('classify')
    .description('Say which of some labels fits a picture, without training (CoCa)')
    .argument('<images...>', 'picture files; - reads one from stdin')
    .requiredOption('--labels <file>', 'the labels, one a line');
  addAnswerOptions(command)
    .option('--templates <file>', 'sentences with {} for the label, one a line (default: seven built-in ones)')
    .option('--top <n>', 'labels that are shown', wholeNumber(1), 5);
  runs<readonly [string[]], ClassifyFlags>(command, async () => (await import('./run-classify.js')).runClassify);
}
