import type {CommandContext} from './command.js';
import type {DemoFlags} from './demo.js';

export function runDemo(_: readonly [], _flags: DemoFlags, {out}: CommandContext): Promise<undefined> {
  out.say('demo: to come');
  return Promise.resolve(undefined);
}
