import path from 'node:path';
import {report} from '../../report/report.js';
import {makeFolder} from '../../node/runs/evaluation-folder.js';
import {readReportInputs} from '../../node/runs/report-inputs.js';
import {writeAtomic} from '../../node/runs/write-atomic.js';
import type {CommandContext} from '../core/define-command.js';
import type {ReportFlags} from './report.js';

export async function runReport(
  [paths]: readonly [string[]],
  {out: folder, title}: ReportFlags,
  {out}: CommandContext,
): Promise<undefined> {
  const inputs = await readReportInputs(paths);
  const files = report(inputs, {...(title === undefined ? {} : {title})});
  makeFolder(folder);
  for (const {name, content} of files) writeAtomic(path.join(folder, name), content);
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  const {evaluations, sweeps, plans} = inputs;
  out.say(
    `${count(evaluations.length, 'evaluation')}, ${count(sweeps.length, 'sweep')}, ${count(plans.length, 'plan')}: ${count(files.length, 'file')}`,
  );
  out.data(path.join(folder, 'index.html'));
}
