import fs from 'node:fs';
import {Command, CommanderError} from '@commander-js/extra-typings';
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
import {fail} from './core/errors.js';
import {demo} from './demo/demo.js';
import {classify} from './embed/classify.js';
import {embed} from './embed/embed.js';
import {retrieve} from './embed/retrieve.js';
import {compare} from './evaluate/compare.js';
import {evaluate} from './evaluate/evaluate.js';
import {merge} from './evaluate/merge.js';
import {explain} from './explain/explain.js';
import {convert} from './inspect/convert.js';
import {data} from './inspect/data.js';
import {doctor} from './inspect/doctor.js';
import {inspect} from './inspect/inspect.js';
import {exits} from './train/exits.js';
import {train} from './train/train.js';

// In the order of the help. A new command is one file and one line here.
const COMMANDS: readonly DefinedCommand[] = [
  caption,
  entail,
  ask,
  prompt,
  classify,
  embed,
  retrieve,
  evaluate,
  merge,
  compare,
  convert,
  inspect,
  doctor,
  data,
  record,
  report,
  sweep,
  calibrate,
  explain,
  train,
  exits,
  demo,
];

/**
 * Runs one command line.
 * @param args what follows `mue`
 * @returns the exit code; errors are reported on stderr
 */
export async function runMue(args: readonly string[], host: Host): Promise<number> {
  let exitCode = 0;
  const program = new Command('mue')
    .description('Captions, visual entailment and questions with early exits (OFA + MuE, CoCa on TensorFlow.js).')
    .version(packageVersion(), '-V, --version')
    .helpCommand(true)
    .showHelpAfterError('(see mue <command> --help)')
    .configureOutput({
      writeOut: host.stdout,
      writeErr: host.stderr,
      outputError: (text, write) => write(text.replace(/^error: /, 'error [usage]: ')),
    })
    .addHelpText(
      'after',
      '\nExit codes: 0 ok, 1 failure, 2 usage, 3 model or weights, 4 backend, 5 some inputs failed, 130 interrupted.',
    )
    .exitOverride();
  for (const command of COMMANDS)
    command.register(program, host, (code) => {
      exitCode = code;
    });
  try {
    await program.parseAsync(replaceAliases(args), {from: 'user'});
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return fail(error, host.stderr);
    // Commander has printed its message; its own code for wrong usage is 1, ours 2.
    return error.exitCode === 0 ? 0 : 2;
  }
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(fs.readFileSync(file, 'utf8')) as {version: string}).version;
}
