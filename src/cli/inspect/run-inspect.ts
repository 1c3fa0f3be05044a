import {formatInspection, inspect} from '../../node/model/inspect.js';
import {SHIPPED_MODEL} from '../../node/model/load-model.js';
import type {CommandContext} from '../core/define-command.js';
import type {InspectFlags} from './inspect.js';

export async function runInspect(
  [target = SHIPPED_MODEL]: readonly [string | undefined],
  flags: InspectFlags,
  {out}: CommandContext,
): Promise<undefined> {
  const inspection = await inspect(target, {which: flags.ema ? 'ema' : 'model'});
  out.data(flags.json ? JSON.stringify(inspection, null, 2) : formatInspection(inspection, flags.tensors ?? true));
}
