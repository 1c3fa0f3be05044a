import {doctor, formatDoctor} from '../../node/backends/doctor.js';
import type {CommandContext} from '../core/define-command.js';
import type {DoctorFlags} from './doctor.js';

export async function runDoctor(_: readonly [], flags: DoctorFlags, {out, signal}: CommandContext): Promise<number> {
  const report = await doctor({benchSeconds: flags.seconds, signal});
  out.data(flags.json ? JSON.stringify(report, null, 2) : formatDoctor(report).trimEnd());
  return report.auto === undefined ? 4 : 0;
}
