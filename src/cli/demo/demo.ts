import {UsageError} from '../../runtime/errors.js';
import {defineCommand} from '../core/define-command.js';
import type {Output} from '../core/output.js';
import {type ModelChoice, modelChoice, openModel, withModel} from '../options/model.js';
import {wholeNumber} from '../options/values.js';
import type {DemoRow} from './examples.js';
import type {RetrievalDemo} from './retrieval.js';

export const demo = defineCommand({
  name: 'demo',
  summary: 'Caption and question the example pictures, at full depth and with early exit',
  example: 'mue demo',
  arguments: [],
  options: (command) =>
    withModel(
      command
        .option('--out <file.html>', 'the page to write', 'demo.html')
        .option('--pictures <n>', 'only the first ones', wholeNumber(1)),
    ),
  async run(_, options, {out, signal}) {
    const start = performance.now();
    const opened = await openModel(modelChoice(options), out, signal);
    using model = opened.model;
    const {OfaPipeline} = await import('../../tasks/ofa-processor.js');
    if (!(model instanceof OfaPipeline))
      throw new UsageError('task-unsupported', 'the demo shows an encoder and a decoder, which this model has not', {
        hint: 'Leave --model out.',
      });
    const {resnetMacs, runExamples} = await import('./examples.js');
    const {retrievalText} = await import('./retrieval.js');
    const {demoPage} = await import('./page.js');
    const {writeAtomic} = await import('../../node/runs/write-atomic.js');
    const {tableHead, tableRow, tableSummary} = await import('./table.js');
    out.say(`model loaded in ${opened.ms.toFixed(0)} ms\n`);
    const rows: DemoRow[] = [];
    for await (const row of runExamples(model, signal, options.pictures)) {
      if (rows.length === 0) out.data(tableHead(row));
      rows.push(row);
      out.data(tableRow(row));
    }
    const resnet = resnetMacs(model);
    out.data('');
    out.data(tableSummary(rows, resnet));
    const retrieval = await retrieve(rows, modelChoice(options), out, signal);
    out.data(retrievalText(retrieval));
    const note = model.runsOn?.note ?? options.device;
    writeAtomic(options.out, demoPage(rows, {tokenizer: model.tokenizer, resnet, note, retrieval}));
    const seconds = ((performance.now() - start) / 1e3).toFixed(0);
    out.say(`\nwrote ${options.out}: words and their depth, in a browser (${seconds} s in all)`);
    return 0;
  },
});

/** Finds the examples by their captions, with the shipped model that embeds. */
async function retrieve(
  rows: readonly DemoRow[],
  {load}: ModelChoice,
  out: Output,
  signal: AbortSignal,
): Promise<RetrievalDemo> {
  const {loadEmbedder} = await import('../embed/load-embedder.js');
  const {runRetrieval} = await import('./retrieval.js');
  using model = await loadEmbedder({load}, out, signal);
  return await runRetrieval(model, rows, signal);
}
