#!/usr/bin/env node
import '../runtime/dispose-symbol.js';
import fs from 'node:fs';
import {Command, CommanderError} from 'commander';
import {registerAsk} from './answer/ask.js';
import {registerCalibrate} from './calibrate/calibrate.js';
import {registerCaption} from './answer/caption.js';
import {registerClassify} from './embed/classify.js';
import {registerCompare} from './evaluate/compare.js';
import {registerConvert} from './inspect/convert.js';
import {registerData} from './inspect/data.js';
import {registerDemo} from './demo/demo.js';
import {registerDoctor} from './inspect/doctor.js';
import {registerEmbed} from './embed/embed.js';
import {registerEntail} from './answer/entail.js';
import {registerEvaluate} from './evaluate/evaluate.js';
import {registerExplain} from './explain/explain.js';
import {fail} from './core/errors.js';
import {registerInspect} from './inspect/inspect.js';
import {registerMerge} from './evaluate/merge.js';
import {replaceAliases} from './core/aliases.js';
import {registerPrompt} from './answer/prompt.js';
import {registerRecord} from './calibrate/record.js';
import {registerReport} from './calibrate/report.js';
import {registerRetrieve} from './embed/retrieve.js';
import {registerSweep} from './calibrate/sweep.js';

// Every command, in the order of the help. A new one is one file and one line here. Nothing that these files import may
// pull in tfjs: they declare options, and load what they need when they run, so that --help is immediate.
const COMMANDS: readonly ((program: Command) => void)[] = [
  registerCaption,
  registerEntail,
  registerAsk,
  registerPrompt,
  registerClassify,
  registerEmbed,
  registerRetrieve,
  registerEvaluate,
  registerMerge,
  registerCompare,
  registerConvert,
  registerInspect,
  registerDoctor,
  registerData,
  registerRecord,
  registerReport,
  registerSweep,
  registerCalibrate,
  registerExplain,
  registerDemo,
];

const {version} = JSON.parse(fs.readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('mue')
  .description('Captions, visual entailment and questions with early exits (OFA + MuE, CoCa on TensorFlow.js).')
  .version(version, '-V, --version')
  .helpCommand(true)
  .showHelpAfterError('(see mue <command> --help)')
  .configureOutput({outputError: (text, write) => write(text.replace(/^error: /, 'error [usage]: '))})
  .addHelpText(
    'after',
    '\nExit codes: 0 ok, 1 failure, 2 usage, 3 model or weights, 4 backend, 5 some inputs failed, 130 interrupted.',
  )
  .exitOverride();
for (const register of COMMANDS) register(program);

// `mue … | head` is no failure.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
    throw error;
  });

try {
  await program.parseAsync([...process.argv.slice(0, 2), ...replaceAliases(process.argv.slice(2))]);
} catch (error) {
  // Commander has printed its message; its own code for wrong usage is 1, ours 2.
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : fail(error);
}
