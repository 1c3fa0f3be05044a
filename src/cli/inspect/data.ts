import path from 'node:path';
import {Option} from '@commander-js/extra-typings';
import {UsageError} from '../../runtime/errors.js';
import {defineCommand} from '../core/define-command.js';
import {SkippedRows} from '../core/inputs.js';

export const data = defineCommand({
  name: 'data',
  summary:
    'Write a data set (OFA TSV, JSONL, SNLI-VE, COCO or VQA v2 JSON, a folder) as JSON lines and a folder of pictures',
  example: 'mue data caption_test.tsv captions --task caption',
  arguments: [
    ['<source>', 'the data set'],
    ['<out-dir>', 'the folder to write'],
  ],
  options: (command) =>
    command
      .addOption(new Option('--task <name>', 'what the rows are for').choices(['caption', 'snli-ve', 'vqa']))
      .option('--name <name>', 'name of the JSON lines file (default: that of the source)')
      .option('--images <folder>', 'where the pictures of the source are')
      .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols: 1,4,2")
      .option('--split <name>', 'the split of a Karpathy file')
      .option('--annotations <file>', 'the answers to the questions of a VQA v2 file')
      .option('--scenes', 'the source is the folder of the scenes: convert all of its sets')
      .option('--json', 'the report as JSON'),
  async run([source, target], {task, name, scenes, json, ...reading}, {out}) {
    const {exportDataset} = await import('../../node/dataset/export.js');
    const {openDataset} = await import('../../node/dataset/open.js');
    const {exportScenes} = await import('../../node/dataset/scenes.js');
    const skipped = new SkippedRows(out);
    const exportOne = async (): ReturnType<typeof exportScenes> => {
      if (task === undefined) throw new UsageError('task-missing', 'mue data needs --task caption, snli-ve or vqa');
      const dataset = openDataset(source, {task, ...reading, onBadRow: skipped.onBadRow});
      const set = name ?? nameOf(source);
      return {[set]: await exportDataset(dataset, target, set)};
    };
    const reports = scenes ? await exportScenes(source, target) : await exportOne();
    if (json) out.data(JSON.stringify({sets: reports, skipped: skipped.count}, null, 2));
    else
      for (const [set, {rows, pictures, bytes}] of Object.entries(reports)) {
        const file = path.join(target, `${set}.jsonl`);
        out.data(`${file}  ${rows} rows, ${pictures} pictures (${(bytes / 1e6).toFixed(1)} MB)`);
      }
    return skipped.exitCode;
  },
});

/** The name of a data set's file without what says its format. */
function nameOf(file: string): string {
  return path
    .basename(file)
    .replace(/\.gz$/i, '')
    .replace(/\.(tsv|jsonl|ndjson|json)$/i, '');
}
