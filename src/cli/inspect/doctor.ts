import type {Command} from 'commander';
import {runs} from '../core/define-command.js';
import {finiteNumber} from '../options/values.js';

export interface DoctorFlags {
  readonly json?: boolean;
  readonly seconds: number;
}

export function registerDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description('Try every device, measure those that work, and say what the others lack')
    .option('--seconds <s>', 'seconds of measuring a device; 0 leaves it out', finiteNumber, 1.5)
    .option('--json', 'the report as JSON');
  runs<readonly [], DoctorFlags>(command, async () => (await import('./run-doctor.js')).runDoctor);
}
