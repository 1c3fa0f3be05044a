import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {Command, CommanderError} from '@commander-js/extra-typings';
import {type CommandContext, defineCommand, optionGroup} from '../../../src/cli/core/define-command.js';
import {wholeNumber} from '../../../src/cli/options/values.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-command-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));

const withSize = optionGroup((command) => command.option('--size <n>', 'of the thing', wholeNumber(1), 3));

/** Runs a command line of one command, which returns 5. */
async function run(...args: readonly string[]) {
  const calls: {args: readonly unknown[]; options: Readonly<Record<string, unknown>>}[] = [];
  const written = {stdout: '', stderr: ''};
  let exitCode: number | undefined;
  const paint = defineCommand({
    name: 'paint',
    summary: 'Paint things',
    example: 'mue paint wall',
    arguments: [
      ['<thing>', 'a thing'],
      ['[colours...]', 'its colours'],
    ],
    options: (command) => withSize(command).option('--brush-width <n>', 'in millimetres').option('--no-frame', 'bare'),
    async run([thing, colours], options, {out}: CommandContext) {
      // Types are inferred from the declarations.
      const types: [string, string[], number, string | undefined, boolean] = [
        ...[thing, colours, options.size, options.brushWidth, options.frame],
      ] as const;
      calls.push({args: types.slice(0, 2), options});
      out.data('data');
      out.say('for people');
      out.warn('warning');
      return 5;
    },
  });
  const program = new Command('mue').exitOverride().configureOutput({writeErr: () => {}});
  const host = {
    stdout: (text: string) => {
      written.stdout += text;
    },
    stderr: (text: string) => {
      written.stderr += text;
    },
    signal: new AbortController().signal,
  };
  paint.register(program, host, (code) => {
    exitCode = code;
  });
  await program.parseAsync(args, {from: 'user'});
  return {calls, exitCode, ...written};
}

const config = (json: object): string => {
  const file = path.join(folder, 'config.json');
  fs.writeFileSync(file, JSON.stringify(json));
  return file;
};

test('defineCommand: run gets arguments and options as declared, its result is the exit code', async () => {
  const {calls, exitCode} = await run('paint', 'door', 'red', 'blue', '--size', '4', '--no-frame');
  expect(exitCode).toBe(5);
  expect(calls).toEqual([{args: ['door', ['red', 'blue']], options: {size: 4, frame: false}}]);
});

test('defineCommand: left out arguments and options are empty or have their defaults', async () => {
  const {calls} = await run('paint', 'door');
  expect(calls).toEqual([{args: ['door', []], options: {size: 3, frame: true}}]);
});

test('defineCommand: data goes to stdout, the rest to stderr; --quiet silences what is for people alone', async () => {
  expect(await run('paint', 'door')).toMatchObject({stdout: 'data\n', stderr: 'for people\nwarning\n'});
  expect(await run('paint', 'door', '--quiet')).toMatchObject({stdout: 'data\n', stderr: 'warning\n'});
});

test('defineCommand --config: gives options by their names; the command line wins', async () => {
  const file = config({size: 7, brush_width: 2, quiet: true});
  const {calls, stderr} = await run('paint', 'door', '--config', file, '--size', '4');
  expect(calls[0]!.options).toMatchObject({size: 4, brushWidth: '2', quiet: true});
  expect(stderr).toBe('warning\n');
});

test.each([
  [{colour: 'red'}, 'config-option'],
  [{size: 0}, 'config-value'],
  [{size: true}, 'config-value'],
  [{quiet: 'yes'}, 'config-value'],
  [{size: [1]}, 'config-invalid'],
])('defineCommand --config: refuses %j with %s', async (json, code) => {
  await expect(run('paint', 'door', '--config', config(json))).rejects.toThrow(
    expect.objectContaining({code}) as unknown as Error,
  );
});

test('defineCommand: a wrong option or a missing argument is an error of commander', async () => {
  await expect(run('paint')).rejects.toThrow(CommanderError);
  await expect(run('paint', 'door', '--size', '0')).rejects.toThrow(/whole number from 1/);
});
