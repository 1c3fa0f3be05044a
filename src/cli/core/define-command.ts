import type {Command, InferArgument, OptionValues} from '@commander-js/extra-typings';
import {createOutput, type Output, type Streams} from './output.js';

/** The arguments of a command, in order: how the help writes them (`<image>`, `[texts...]`), and what they are. */
export type ArgumentList = readonly (readonly [usage: string, description: string])[];

/** Values of an argument list: a string each, an array for one with dots, possibly undefined for an optional one. */
export type ArgumentValues<A extends ArgumentList> = {-readonly [K in keyof A]: InferArgument<A[K][0]>};

/** Streams and signal of the process; tests lend their own. */
export interface Host extends Streams {
  /** Fires on Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Output and signal of a running command. */
export interface CommandContext {
  readonly out: Output;
  /** Fires on Ctrl-C; the command then throws AbortError, and leaves nothing half-written. */
  readonly signal: AbortSignal;
}

/** A command in one piece. The types of its arguments and options are inferred from their declarations. */
export interface CommandSpec<A extends ArgumentList, O extends OptionValues> {
  /** With a space, the command stands under another one: `train exits`. */
  readonly name: string;
  /** First line of the command's help, and its line in the program's. */
  readonly summary: string;
  /** A command line that works in a clone or an installed package, for the end of the help. */
  readonly example: string;
  readonly arguments: A;
  /** Declares the options, in the order of the help; --quiet and --config follow by themselves. */
  readonly options: (command: Command) => Command<[], O>;
  /**
   * Does the work. What needs tfjs is imported in here, never at the head of the file: every command is declared before
   * --help is printed.
   * @param options by their attribute names: `--max-pixels` is `maxPixels`
   * @returns the exit code; undefined is 0
   */
  readonly run: (args: ArgumentValues<A>, options: O, context: CommandContext) => Promise<number | undefined>;
}

/** A command as the program takes it, whatever its arguments and options are. */
export interface DefinedCommand {
  /** Adds the command to the program. `finished` gets the exit code of a run that did not throw. */
  register(program: Command, host: Host, finished: (exitCode: number) => void): void;
}

/** Makes a command of its declaration and its handler, with the options that all commands have. */
export function defineCommand<const A extends ArgumentList, O extends OptionValues>({
  name,
  summary,
  example,
  arguments: list,
  options: declare,
  run,
}: CommandSpec<A, O>): DefinedCommand {
  return {
    register(program, {signal, ...streams}, finished) {
      const bare = parentOf(program, name).command(name.split(' ').at(-1)!).description(summary);
      for (const [usage, description] of list) bare.argument(usage, description);
      const command = declare(bare)
        .option('-q, --quiet', 'only data and errors')
        .option('--config <file.json>', 'defaults for options, by their names');
      command.addHelpText('after', `\nExample:\n  $ ${example}`);
      command.action(async () => {
        const {config} = command.opts() as {config?: string};
        if (config !== undefined) (await import('./config-file.js')).applyConfigFile(command, config);
        // Arguments are declared in a loop, which commander's types cannot follow.
        const args = command.processedArgs as unknown as ArgumentValues<A>;
        const options = command.opts() as O & {quiet?: boolean};
        const out = createOutput(streams, options.quiet ?? false);
        finished((await run(args, options, {out, signal})) ?? 0);
      });
    },
  };
}

/** The command that a command stands under: that of its first word, which is declared before, or the program. */
function parentOf(program: Command, name: string): Command {
  const [group, own] = name.split(' ') as [string, string?];
  if (own === undefined) return program;
  const parent = program.commands.find((command) => command.name() === group) as Command;
  // Options behind the second word are that command's own.
  for (const command of [program, parent]) command.enablePositionalOptions();
  return parent.helpCommand(false);
}

/** Adds options that several commands share. */
export type OptionGroup<G extends OptionValues> = <O extends OptionValues>(
  command: Command<[], O>,
) => Command<[], O & G>;

/** A group of options by their declaration. `OptionsOf` is the type of their values. */
export function optionGroup<G extends OptionValues>(declare: (command: Command) => Command<[], G>): OptionGroup<G> {
  // A generic declaration would have commander's types unfold over an unknown O: minutes of compiling.
  return <O extends OptionValues>(command: Command<[], O>) =>
    declare(command as unknown as Command) as unknown as Command<[], O & G>;
}

/** The options of a group, by their attribute names. */
export type OptionsOf<Group> = Group extends OptionGroup<infer G> ? Readonly<G> : never;
