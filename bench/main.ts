import fs from 'node:fs';
import path from 'node:path';
import {Command} from 'commander';
import {fail} from '../src/cli/core/errors.js';
import type {OfaPipeline} from '../src/tasks/ofa-processor.js';
import {addMeasurement, type Flags, type Measurement, say} from './measure/measurement.js';
import {type Row, readResult} from './measure/result-file.js';

// What a measurement needs is imported when it runs.

const shipped = async (flags: Flags): Promise<OfaPipeline> => {
  const model = await (await import('../src/node/model/load-model.js')).loadModel(undefined, flags);
  if (model instanceof (await import('../src/tasks/ofa-processor.js')).OfaPipeline) return model;
  throw new TypeError('the shipped model is of the family ofa');
};

const ops = async (flags: Flags): Promise<Row[]> =>
  (await import('./measure/measure.js')).measure((await import('./cases/op-cases.js')).OP_CASES, flags);

const layers = async (flags: Flags): Promise<Row[]> => {
  const {SHIPPED_MODEL} = await import('../src/node/model/load-model.js');
  const {ofaConfigSchema} = await import('../src/models/ofa/config.js');
  const config = ofaConfigSchema.parse(JSON.parse(fs.readFileSync(path.join(SHIPPED_MODEL, 'config.json'), 'utf8')));
  return (await import('./measure/measure.js')).measure(
    (await import('./cases/layer-cases.js')).layerCases(config),
    flags,
  );
};

const parts = async (flags: Flags): Promise<Row[]> => {
  using mue = await shipped(flags);
  return await (await import('./parts.js')).measureParts(mue, flags);
};

const commands = async (device: string, rounds: number): Promise<Row[]> =>
  (await import('./commands.js')).measureCommands(device, rounds);

const MEASUREMENTS: readonly Measurement[] = [
  {
    name: 'all',
    about: 'ops, layers, parts and commands; what runs without a command',
    options: {rounds: 24, seconds: 3, pictures: 20, clock: 'wall'},
    run: async (flags, {device}) => [
      ...(await ops(flags)),
      ...(await layers(flags)),
      ...(await parts(flags)),
      ...(await commands(device, 5)),
    ],
  },
  {name: 'ops', about: "operations at OFA-Base's sizes", options: {rounds: 24, seconds: 3}, run: ops},
  {
    name: 'layers',
    about: 'layers of OFA-Base and of the shipped model, and deciding',
    options: {rounds: 24, seconds: 3},
    run: layers,
  },
  {
    name: 'parts',
    about: 'where captions and entailments of the shipped model spend their time, with and without exits',
    options: {pictures: 20, clock: 'wall'},
    run: parts,
  },
  {
    name: 'commands',
    about: 'whole commands, each in a process of its own',
    options: {rounds: 5},
    run: ({rounds}, {device}) => commands(device, rounds),
  },
  {
    name: 'base',
    about: "the authors' reference sizes: OFA-Base, random weights, 480 px, 12 tokens, forced exits; seconds",
    options: {rounds: 3, side: 480, size: 'base'},
    run: async (flags) => (await import('./base.js')).measureBase({...flags, say}),
    json: ({rows, backend, threads}) => `${JSON.stringify(baseSeconds(rows, backend, threads))}\n`,
  },
  {
    name: 'growth',
    about: 'time and memory against picture size, tokens, beams and pictures at once, beside the multiply-accumulates',
    options: {rounds: 5, size: 'base'},
    run: async (flags) => (await import('./growth.js')).measureGrowth({...flags, say}),
  },
  {
    name: 'memory',
    about: 'resident memory and tensors over many captions in one process (shipped model)',
    options: {captions: 2000, beams: 5},
    run: async (flags) => {
      using mue = await shipped(flags);
      return await (await import('./memory.js')).measureMemory(mue, {...flags, say});
    },
  },
  {
    name: 'profile',
    about: 'the kernels that answers spend their time in, on devices that compute when called (wasm, native, cpu)',
    options: {pictures: 10, clock: 'wall'},
    run: async (flags) => {
      using mue = await shipped(flags);
      return await (await import('./measure/profile.js')).profileAnswers(mue, flags);
    },
  },
];
const {baseSeconds} = await import('./base.js');

const program = new Command('bench').description('Measures this package.').helpCommand(false).showHelpAfterError();
for (const measurement of MEASUREMENTS) addMeasurement(program, measurement);
program
  .command('compare <before.json> <after.json>')
  .description('ratios of what both files hold; differences within the spread are marked')
  .action(async (before: string, after: string) => {
    const {compareResults, formatComparison} = await import('./measure/compare.js');
    process.stdout.write(formatComparison(compareResults(readResult(before), readResult(after))));
  });
program
  .command('page')
  .description('writes docs/results/speed.md and its plots from docs/results/speed/*.json')
  .action(async () => {
    const {writeSpeedPage} = await import('./speed-page.js');
    for (const file of writeSpeedPage('docs/results')) say(file);
  });

const given = process.argv.slice(2);
const optionsAlone = given.length === 0 || (given[0]!.startsWith('-') && !['-h', '--help'].includes(given[0]!));
try {
  await program.parseAsync(optionsAlone ? ['all', ...given] : given, {from: 'user'});
} catch (error) {
  process.exitCode = fail(error);
}
// A GPU's threads may outlive the work: leave once the output is out.
process.stdout.write('', () => process.exit());
