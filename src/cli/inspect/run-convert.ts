import {convertCheckpoint} from '../../node/model/convert.js';
import {formatReport} from '../../node/model/convert-report.js';
import type {CommandContext} from '../core/define-command.js';
import type {ConvertFlags} from './convert.js';

export async function runConvert(
  [input, output]: readonly [string, string],
  flags: ConvertFlags,
  {out, signal}: CommandContext,
): Promise<undefined> {
  const {arch, vocab, dtype, ema, force, maxShard} = flags;
  const maxShardBytes = maxShard === undefined ? undefined : maxShard * 1e6;
  const report = await convertCheckpoint({
    input,
    output,
    architecture: arch,
    vocab,
    dtype,
    ema,
    force,
    maxShardBytes,
    signal,
    onProgress: ({status, file, total}) => {
      if (status === 'initiate') out.say(`writing ${file} (${total} tensors in all) …`);
    },
  });
  out.data(flags.json ? JSON.stringify(report, null, 2) : formatReport(report));
}
