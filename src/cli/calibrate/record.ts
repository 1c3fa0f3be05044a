import {Option} from '@commander-js/extra-typings';
import {parseShard, WHOLE} from '../../evaluation/shard.js';
import {InputError} from '../../runtime/errors.js';
import {defineCommand} from '../core/define-command.js';
import {SkippedRows} from '../core/inputs.js';
import {modelChoice, openModel, withModel} from '../options/model.js';
import {wholeNumber} from '../options/values.js';

export const record = defineCommand({
  name: 'record',
  summary: 'Run a data set once and keep what every exit policy would have seen, for `mue sweep` and `mue calibrate`',
  example: 'mue record --task snli-ve --data snli-ve-val.jsonl --out recording.jsonl',
  arguments: [],
  options: (command) => {
    const task = new Option('--task <name>', 'what the rows are for')
      .choices(['snli-ve', 'caption'])
      .default('snli-ve');
    const named = command
      .addOption(task)
      .requiredOption('--data <file>', 'the data set: JSON lines, OFA TSV, SNLI-VE or Karpathy JSON')
      .requiredOption('--out <file>', 'the recording; an unfinished one is gone on with')
      .option('--images <folder>', 'where the pictures are')
      .option('--columns <list>', "columns of a TSV file, as OFA's selected_cols")
      .option('--limit <n>', 'only the first rows', wholeNumber(1))
      .option('--shard <i/n>', 'only the i-th of n parts, from 0');
    return withModel(named);
  },
  async run(_, options, {out, signal}) {
    const {task, data, out: file, images, columns, limit} = options;
    const {dataFingerprint} = await import('../../node/dataset/fingerprint.js');
    const {openDataset} = await import('../../node/dataset/open.js');
    const {RowLog} = await import('../../node/runs/row-log.js');
    const {captionRecorder, entailmentRecorder, refuseLearntRows} = await import('./recorders.js');
    const {recordRows} = await import('./record-rows.js');
    const skipped = new SkippedRows(out);
    const {onBadRow} = skipped;
    const dataset = openDataset(data, {task, images, columns, onBadRow});
    const {sha256} = await dataFingerprint(data, signal);
    const shard = options.shard === undefined ? WHOLE : parseShard(options.shard);
    const opened = await openModel(modelChoice(options), out, signal);
    using model = opened.model;
    refuseLearntRows(model, task, data, sha256);
    const {header, row} = task === 'caption' ? captionRecorder(model, sha256) : entailmentRecorder(model, sha256);
    using log = RowLog.open(file, {...header});
    const rows = await recordRows({model, dataset, log, shard, limit, row, onBadRow, out, signal});
    out.say(`${file}: ${rows} rows${skipped.count ? `, ${skipped.count} skipped` : ''}`);
    if (rows === 0 && skipped.count === 0) throw new InputError('data-empty', `${data} has no rows`);
    return skipped.exitCode;
  },
});
