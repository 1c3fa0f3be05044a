import fs from 'node:fs';
import {styleText} from 'node:util';
import {Command, CommanderError, type CommandUnknownOpts} from '@commander-js/extra-typings';
import {ask} from './answer/ask.js';
import {caption} from './answer/caption.js';
import {entail} from './answer/entail.js';
import {prompt} from './answer/prompt.js';
import {calibrate} from './calibrate/calibrate.js';
import {record} from './calibrate/record.js';
import {report} from './calibrate/report.js';
import {sweep} from './calibrate/sweep.js';
import {replaceAliases} from './core/aliases.js';
import type {DefinedCommand, Host} from './core/define-command.js';
import {fail, painted} from './core/errors.js';
import {withSuggestion} from './core/suggestions.js';
import {demo} from './demo/demo.js';
import {classify} from './embed/classify.js';
import {embed} from './embed/embed.js';
import {retrieve} from './embed/retrieve.js';
import {compare} from './evaluate/compare.js';
import {evaluate} from './evaluate/evaluate.js';
import {merge} from './evaluate/merge.js';
import {explain} from './explain/explain.js';
import {completion} from './inspect/completion.js';
import {convert} from './inspect/convert.js';
import {data} from './inspect/data.js';
import {doctor} from './inspect/doctor.js';
import {exportCommand} from './inspect/export.js';
import {inspect} from './inspect/inspect.js';
import {native} from './inspect/native.js';
import {exits} from './train/exits.js';
import {train} from './train/train.js';
import {visible} from '../text/visible.js';

/** The help's groups of commands, in its order. A new command is one file and one line here. */
const GROUPS: readonly (readonly [heading: string, commands: readonly DefinedCommand[]])[] = [
  ['Answers about pictures:', [caption, entail, ask, prompt, explain]],
  ['Pictures and texts in one space:', [classify, embed, retrieve]],
  ['Data sets:', [evaluate, merge, compare, data]],
  ['Exits:', [record, sweep, calibrate, report, train, exits]],
  ['Models and devices:', [convert, exportCommand, inspect, doctor, native]],
  ['More:', [demo, completion]],
];

/**
 * Runs one command line.
 * @param args what follows `mue`
 * @returns the exit code; errors are reported on stderr
 */
export async function runMue(args: readonly string[], host: Host): Promise<number> {
  let exitCode = 0;
  const program = declareProgram(args, host, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(replaceAliases(args), {from: 'user'});
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return fail(error, host.stderr, host.colours?.stderr);
    // Commander has printed its message; its own code for wrong usage is 1, ours 2.
    return error.exitCode === 0 ? 0 : 2;
  }
}

/**
 * The program with all of its commands.
 * @param args     what follows `mue`; errors suggest words of the command that they call
 * @param finished gets the exit code of a command that did not throw
 */
export function declareProgram(args: readonly string[], host: Host, finished: (exitCode: number) => void): Command {
  const program = new Command('mue')
    .description('Captions, visual entailment and questions with early exits (OFA + MuE, CoCa on TensorFlow.js).')
    .version(packageVersion(), '-V, --version')
    .helpCommand(true)
    .showHelpAfterError('(see mue <command> --help)')
    .configureOutput({
      writeOut: host.stdout,
      writeErr: host.stderr,
      outputError: (text, write) =>
        write(
          painted(
            withSuggestion(visible(text).replace(/^error: /, 'error [usage]: '), called(program, args)),
            host.colours?.stderr,
          ),
        ),
      getOutHasColors: () => host.colours?.stdout ?? false,
      getErrHasColors: () => host.colours?.stderr ?? false,
    })
    .configureHelp({
      styleTitle: (text) => styleText('bold', text, STYLE),
      styleCommandText: (text) => styleText('cyan', text, STYLE),
      styleSubcommandText: (text) => styleText('cyan', text, STYLE),
      styleOptionText: (text) => styleText('cyan', text, STYLE),
    })
    .addHelpText(
      'after',
      '\nExample:\n  $ mue caption examples/pictures/01.png\n\nExit codes: 0 ok, 1 failure, 2 usage, 3 model or weights, 4 backend, 5 some inputs failed, 130 interrupted.',
    )
    .exitOverride();
  for (const [heading, commands] of GROUPS) {
    program.commandsGroup(heading);
    for (const command of commands) command.register(program, host, finished);
  }
  return program;
}

/** The command that a command line calls, as far as its first words say. */
function called(program: CommandUnknownOpts, args: readonly string[]): CommandUnknownOpts {
  const child = program.commands.find((command) => command.name() === args[0]);
  return child ? called(child, args.slice(1)) : program;
}

/** Commander takes colours off where a stream has none. */
const STYLE = {validateStream: false};

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(fs.readFileSync(file, 'utf8')) as {version: string}).version;
}
