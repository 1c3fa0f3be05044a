import fs from 'node:fs';
import path from 'node:path';
import {Command, Option} from 'commander';
import {wholeNumber} from '../src/cli/options/values.js';
import {fail} from '../src/cli/core/errors.js';
import type {OfaPipeline} from '../src/tasks/ofa-processor.js';
import {addBench, type Bench, type Flags, say, together} from './bench.js';
import {readResult} from './report/result-file.js';

interface CompareFlags {
  readonly task: 'caption' | 'snli-ve';
  readonly exits: 'never' | 'model';
  readonly turns: number;
  readonly pictures: number;
  readonly threads: number;
  readonly threadsBefore: number;
}

// The code that a bench measures is imported when it runs.

async function shippedModel(flags: Flags): Promise<OfaPipeline> {
  const model = await (await import('../src/node/model/load-model.js')).loadModel(undefined, flags);
  if (model instanceof (await import('../src/tasks/ofa-processor.js')).OfaPipeline) return model;
  throw new TypeError('the shipped model is of the family ofa');
}

const ops: Bench = {
  name: 'ops',
  about: "operations at OFA-Base's sizes",
  options: {rounds: 24, seconds: 3},
  run: async (flags) => (await import('./measure/cases.js')).measure((await import('./cases/ops.js')).OP_CASES, flags),
};

const layers: Bench = {
  name: 'layers',
  about: 'layers of OFA-Base and of the shipped model, and deciding',
  options: {rounds: 24, seconds: 3},
  run: async (flags) => {
    const {SHIPPED_MODEL} = await import('../src/node/model/load-model.js');
    const {ofaConfigSchema} = await import('../src/models/ofa/config.js');
    const config = ofaConfigSchema.parse(JSON.parse(fs.readFileSync(path.join(SHIPPED_MODEL, 'config.json'), 'utf8')));
    return (await import('./measure/cases.js')).measure((await import('./cases/layers.js')).layerCases(config), flags);
  },
};

const parts: Bench = {
  name: 'parts',
  about: 'where captions and entailments of the shipped model spend their time, with and without exits',
  options: {pictures: 20, clock: 'wall'},
  run: async (flags) => {
    using mue = await shippedModel(flags);
    return await (await import('./benches/parts.js')).measureParts(mue, flags);
  },
};

const commands: Bench = {
  name: 'commands',
  about: 'whole commands, each in a process of its own',
  options: {rounds: 5},
  run: async ({rounds}, {device}) => (await import('./benches/commands.js')).measureCommands(device, rounds),
};

const base: Bench = {
  name: 'base',
  about: "the authors' reference sizes: OFA-Base, random weights, 480 px, 12 tokens, forced exits; seconds",
  options: {rounds: 3, side: 480, size: 'base'},
  run: async (flags) => (await import('./benches/base.js')).measureBase({...flags, say}),
  json: async (result) => (await import('./benches/base.js')).formatBase(result),
};

const growth: Bench = {
  name: 'growth',
  about: 'time and memory against picture size, tokens, beams and pictures at once, beside the multiply-accumulates',
  options: {rounds: 5, size: 'base'},
  run: async (flags) => (await import('./benches/growth.js')).measureGrowth({...flags, say}),
};

const memory: Bench = {
  name: 'memory',
  about: 'resident memory and tensors over many captions in one process (shipped model)',
  options: {captions: 2000, beams: 5},
  run: async (flags) => {
    using mue = await shippedModel(flags);
    return await (await import('./benches/memory.js')).measureMemory(mue, {...flags, say});
  },
};

const profile: Bench = {
  name: 'profile',
  about: 'the kernels that answers spend their time in, on devices that compute when called (wasm, native, cpu)',
  options: {pictures: 10, clock: 'wall'},
  run: async (flags) => {
    using mue = await shippedModel(flags);
    return await (await import('./benches/profile.js')).profileAnswers(mue, flags);
  },
};

/** The benches in the order of the help; the first runs without a command. */
const BENCHES: readonly Bench[] = [
  together('all', 'ops, layers, parts and commands; what runs without a command', [ops, layers, parts, commands]),
  ops,
  layers,
  parts,
  commands,
  base,
  growth,
  memory,
  profile,
];

const program = new Command('bench').description('Measures this package.').helpCommand(false).showHelpAfterError();
for (const bench of BENCHES) addBench(program, bench);
program
  .command('compare <before> <after>')
  .description(
    'two results (json files): ratios of what both hold, differences within the spread are marked; ' +
      'two builds (folders with their dist): the shipped model on wasm by turns, ratios of the turns',
  )
  .addOption(new Option('--task <name>', 'of two builds').choices(['caption', 'snli-ve']).default('caption'))
  .addOption(new Option('--exits <which>', 'of two builds').choices(['never', 'model']).default('never'))
  .option('--turns <n>', 'of two builds', wholeNumber(1), 9)
  .option('--pictures <n>', 'of a turn of two builds', wholeNumber(1), 6)
  .option('--threads <n>', 'of the build after', wholeNumber(1), 1)
  .option('--threads-before <n>', 'of the build before', wholeNumber(1), 1)
  .action(async (before: string, after: string, options: CompareFlags) => {
    if (fs.statSync(before, {throwIfNoEntry: false})?.isDirectory()) {
      const {compareBuilds} = await import('./benches/builds.js');
      const threads = [options.threadsBefore, options.threads] as const;
      process.stdout.write(await compareBuilds([before, after], {...options, threads}));
      return;
    }
    const {compareResults, formatComparison} = await import('./report/compare.js');
    process.stdout.write(formatComparison(compareResults(readResult(before), readResult(after))));
  });
program
  .command('page')
  .description('writes docs/results/speed.md and its plots from docs/results/speed/*.json')
  .action(async () => {
    const {writeSpeedPage} = await import('./report/speed-page.js');
    for (const file of writeSpeedPage('docs/results')) say(file);
  });

const given = process.argv.slice(2);
const optionsAlone = given.length === 0 || (given[0]!.startsWith('-') && !['-h', '--help'].includes(given[0]!));
try {
  await program.parseAsync(optionsAlone ? [BENCHES[0]!.name, ...given] : given, {from: 'user'});
} catch (error) {
  process.exitCode = fail(error);
}
// The threads of a GPU may outlive the work: leave once the output is out.
process.stdout.write('', () => process.exit());
