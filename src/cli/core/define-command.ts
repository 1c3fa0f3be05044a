import type {Command} from 'commander';
import {AbortError} from '../../runtime/errors.js';
import {createOutput, type Output} from './output.js';

/** What a command gets beside its arguments and options. */
export interface CommandContext {
  readonly out: Output;
  /** Fires on Ctrl-C; the command then throws AbortError, and leaves nothing half-written. */
  readonly signal: AbortSignal;
}

/** Returns the exit code, 0 if it returns nothing. */
export type CommandRun<A extends readonly unknown[], O> = (
  args: A,
  options: O,
  context: CommandContext,
) => Promise<number | undefined>;

/**
 * Gives a command its common options (--quiet, --config) and its action. `load` imports the implementation when the command runs.
 * Type parameters: the arguments as declared, and the options by their attribute names.
 */
export function runs<A extends readonly unknown[], O>(command: Command, load: () => Promise<CommandRun<A, O>>): void {
  command
    .option('-q, --quiet', 'only data and errors')
    .option('--config <file.json>', 'defaults for options, by their names');
  command.action(async (...passed: unknown[]) => {
    // Commander passes the arguments, the options and the command.
    const args = passed.slice(0, -2) as unknown as A;
    const config = command.opts<{config?: string}>().config;
    if (config !== undefined) (await import('./config-file.js')).applyConfigFile(command, config);
    const options = command.opts<O & {quiet?: boolean}>();
    const controller = new AbortController();
    let interrupted = Number.POSITIVE_INFINITY;
    const interrupt = (): void => {
      // Who presses Ctrl-C again does not want to wait; npm and npx send the first one twice.
      if (performance.now() - interrupted > 500) process.exit(130);
      interrupted = Math.min(interrupted, performance.now());
      controller.abort(new AbortError());
    };
    process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
    const run = await load();
    process.exitCode =
      (await run(args, options, {out: createOutput({quiet: options.quiet ?? false}), signal: controller.signal})) ?? 0;
  });
}
