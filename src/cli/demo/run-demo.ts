import fs from 'node:fs';
import path from 'node:path';
import {UsageError} from '../../runtime/errors.js';
import {OfaPipeline} from '../../tasks/ofa-processor.js';
import type {CommandContext} from '../core/define-command.js';
import type {DemoFlags} from './demo.js';
import {demoPage} from './page.js';
import {type DemoRow, resnetMacs, runExamples} from './run.js';
import {tableHead, tableRow, tableSummary} from './table.js';
import {loadFrom} from '../options/model.js';

export async function runDemo(_: readonly [], flags: DemoFlags, {out, signal}: CommandContext): Promise<undefined> {
  const start = performance.now();
  const {mue, ms} = await loadFrom(flags, out);
  using model = mue;
  if (!(model instanceof OfaPipeline))
    throw new UsageError('task-unsupported', 'the demo shows an encoder and a decoder, which this model has not', {
      hint: 'Leave --model out.',
    });
  out.say(`model loaded in ${ms.toFixed(0)} ms\n`);
  const rows: DemoRow[] = [];
  for await (const row of runExamples(model, signal, flags.pictures)) {
    if (rows.length === 0) out.data(tableHead(row));
    rows.push(row);
    out.data(tableRow(row));
  }
  out.data('');
  out.data(tableSummary(rows, resnetMacs(model)));
  const note = model.runsOn?.note ?? flags.device;
  // Written beside, then moved: an interrupted run leaves an older page as it was.
  const target = path.resolve(flags.out);
  const partial = `${target}.partial`;
  try {
    fs.writeFileSync(partial, demoPage(rows, {tokenizer: model.tokenizer, resnet: resnetMacs(model), note}));
    fs.renameSync(partial, target);
  } finally {
    fs.rmSync(partial, {force: true});
  }
  out.say(
    `\nwrote ${flags.out}: words and their depth, in a browser (${((performance.now() - start) / 1e3).toFixed(0)} s in all)`,
  );
}
