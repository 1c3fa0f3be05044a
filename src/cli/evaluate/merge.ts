import {defineCommand} from '../core/define-command.js';

export const merge = defineCommand({
  name: 'merge',
  summary: 'Put the shards of an evaluation together; the result is that of one run',
  example: 'mue merge run/shard-0-of-2 run/shard-1-of-2 --out run',
  arguments: [['<folders...>', 'folders of the shards, or the folder that holds them']],
  options: (command) =>
    command
      .requiredOption('--out <folder>', 'where to; may be the folder that holds the shards')
      .option('--json', 'print metrics.json'),
  async run([folders], {out: folder, json}, {out}) {
    const {mergeEvaluations} = await import('../../node/runs/merge.js');
    const {metricsText} = await import('./metrics-text.js');
    const metrics = await mergeEvaluations(folders, folder);
    for (const note of metrics.notes ?? []) out.say(`note: ${note}`);
    out.data(json ? JSON.stringify(metrics, null, 2) : metricsText(metrics));
    return metrics.bad.failed + metrics.bad.unreadable > 0 ? 5 : 0;
  },
});
