import {defineCommand} from '../core/define-command.js';
import {finiteNumber} from '../options/values.js';

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'Try every device, measure those that work, and say what the others lack',
  example: 'mue doctor',
  arguments: [],
  options: (command) =>
    command
      .option('--seconds <s>', 'seconds of measuring a device; 0 leaves it out', finiteNumber, 1.5)
      .option('--json', 'the report as JSON'),
  async run(_, {seconds, json}, {out, signal}) {
    const {doctor, formatDoctor} = await import('../../node/backends/doctor.js');
    const report = await doctor({benchSeconds: seconds, signal});
    out.data(json ? JSON.stringify(report, null, 2) : formatDoctor(report).trimEnd());
    return report.auto === undefined ? 4 : 0;
  },
});
