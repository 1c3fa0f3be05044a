import path from 'node:path';
import {defineCommand} from '../core/define-command.js';

export const report = defineCommand({
  name: 'report',
  summary: 'One page of charts (and CSV, JSON, SVG) from evaluations, sweeps, calibrated plans and trainings',
  example: 'mue report early full swept --out report',
  arguments: [
    [
      '<inputs...>',
      'folders of `mue evaluate`, `mue sweep` and `mue train`, plan.json files, or folders that hold such folders',
    ],
  ],
  options: (command) =>
    command
      .requiredOption('--out <folder>', 'where to; files of an older report are replaced')
      .option('--title <text>', 'heading of the page'),
  async run([paths], {out: folder, title}, {out}) {
    const {report} = await import('../../report/report.js');
    const {makeFolder} = await import('../../node/runs/evaluation-folder.js');
    const {readReportInputs} = await import('../../node/runs/report-inputs.js');
    const {writeAtomic} = await import('../../node/runs/write-atomic.js');
    const inputs = await readReportInputs(paths);
    const files = report(inputs, {title});
    makeFolder(folder);
    for (const {name, content} of files) writeAtomic(path.join(folder, name), content);
    const count = (things: readonly unknown[], what: string): string =>
      `${things.length} ${what}${things.length === 1 ? '' : 's'}`;
    const {evaluations, sweeps, plans, trainings = []} = inputs;
    const read = [count(evaluations, 'evaluation'), count(sweeps, 'sweep'), count(plans, 'plan')];
    if (trainings.length > 0) read.push(count(trainings, 'training'));
    out.say(`${read.join(', ')}: ${count(files, 'file')}`);
    out.data(path.join(folder, 'index.html'));
    return 0;
  },
});
