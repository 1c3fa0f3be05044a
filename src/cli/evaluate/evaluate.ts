import {Option} from '@commander-js/extra-typings';
import type {EvaluationMetrics} from '../../evaluation/metrics.js';
import type {Progress} from '../../node/runs/evaluate-into.js';
import {AbortError, UsageError} from '../../runtime/errors.js';
import {defineCommand} from '../core/define-command.js';
import {exitCodeOf} from '../core/errors.js';
import {withDataset} from '../options/dataset.js';
import {parseExitOptions, withExits} from '../options/exit.js';
import {generateOptions, withGeneration} from '../options/generation.js';
import {modelChoice, withModel} from '../options/model.js';
import {shardChoice} from '../options/shard.js';
import {wholeNumber} from '../options/values.js';
import type {ShardJob} from './shard.js';

export const evaluate = defineCommand({
  name: 'evaluate',
  summary: 'Answer a data set and score the answers: quality, layers, MACs and milliseconds',
  example: 'mue evaluate --task snli-ve --data snli-ve-test.jsonl --out early',
  arguments: [],
  options: (command) => {
    const named = command
      .addOption(
        new Option('--task <name>', 'what is asked').choices(['caption', 'snli-ve', 'vqa']).makeOptionMandatory(),
      )
      .requiredOption(
        '--data <file>',
        'OFA TSV, JSON lines, SNLI-VE JSON lines, COCO or VQA v2 JSON (each also .gz) or a folder of pictures',
      )
      .requiredOption(
        '--out <folder>',
        'predictions.jsonl, metrics.json and results; the same command goes on where it was stopped',
      );
    const divided = withGeneration(withExits(withModel(named)))
      .option('--limit <n>', 'only the first rows', wholeNumber(1))
      .option(
        '--shard <i/n>',
        'every n-th row from the i-th (from 0), into a folder of its own in --out (default: from the job array)',
      )
      .option('--workers <n>', 'processes that share the rows', wholeNumber(1), 1)
      .option(
        '--batch <n>',
        'rows answered together, each with its own exits (default: 16 on cuda, else 1)',
        wholeNumber(1),
      );
    return withDataset(divided)
      .option('--annotations <file>', 'the answers to the questions of a VQA v2 file')
      .option('--answers <file>', 'vqa: the allowed answers, one a line')
      .option(
        '--warmup <n>',
        'answers of the first row that do not count, so that times do not contain compiling',
        wholeNumber(0),
        1,
      )
      .option('--trace', 'keep what was measured at every layer')
      .option('--json', 'print metrics.json');
  },
  async run(_, options, {out, signal}) {
    const {task, data, images, columns, split, annotations, limit, answers, workers, batch, warmup, trace} = options;
    const shard = shardChoice(options.shard, process.env);
    const {shardFolder} = await import('../../node/runs/shard-folder.js');
    const folder = shardFolder(options.out, shard, 'run.json', workers);
    if (answers !== undefined && task !== 'vqa')
      throw new UsageError('answers-task', '--answers is for --task vqa only');
    const job: ShardJob = {
      task,
      data,
      dataset: {images, columns, split, annotations},
      limit,
      answers,
      model: modelChoice(options),
      exit: await parseExitOptions(options, task),
      generation: generateOptions(options),
      batch,
      warmup,
      trace,
      folder,
      shard,
    };
    const {EvaluationProgress} = await import('./progress.js');
    const {metricsText} = await import('./metrics-text.js');
    try {
      const metrics = await evaluateJob();
      for (const note of metrics.notes ?? []) out.say(`note: ${note}`);
      out.data(options.json ? JSON.stringify(metrics, null, 2) : metricsText(metrics));
      return exitCodeOf({done: metrics.n, failed: metrics.bad.failed + metrics.bad.unreadable});
    } catch (error) {
      if (error instanceof AbortError) out.say(`interrupted; the same command goes on where ${folder} ends`);
      throw error;
    }

    async function evaluateJob(): Promise<EvaluationMetrics> {
      using progress = new EvaluationProgress(out);
      const context = {out: progress.lines(), signal, onProgress: (now: Progress) => progress.show(now)};
      // With workers, the model is theirs: this process needs none, nor tfjs.
      if (workers > 1) return await (await import('./workers.js')).evaluateInWorkers(job, workers, context);
      return await (await import('./shard.js')).evaluateShard(job, context);
    }
  },
});
