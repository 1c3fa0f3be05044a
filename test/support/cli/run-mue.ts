import {runMue as run} from '../../../src/cli/program.js';
import type {Finished} from './mue-command.js';

/** Runs a command line of `mue` in this process: what a command does, without the start of a process and of tfjs. */
export async function runMue(args: readonly string[]): Promise<Finished> {
  let stdout = '';
  let stderr = '';
  const code = await run(args, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    signal: new AbortController().signal,
  });
  return {code, stdout, stderr};
}
