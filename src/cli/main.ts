#!/usr/bin/env node
import module from 'node:module';
import '../runtime/dispose-symbol.js';
import {AbortError} from '../runtime/errors.js';
import {hasColours} from './core/colours.js';

// Node 22 keeps what it compiles from one run to the next; it must be told before the rest is imported.
const {enableCompileCache} = module as {readonly enableCompileCache?: () => unknown};
enableCompileCache?.();
const {runMue} = await import('./program.js');

// `mue … | head` is no failure.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
    throw error;
  });

const controller = new AbortController();
let interrupted = Number.POSITIVE_INFINITY;
const interrupt = (): void => {
  // A second Ctrl-C ends the process at once; npm and npx send the first one twice.
  if (performance.now() - interrupted > 500) process.exit(130);
  interrupted = Math.min(interrupted, performance.now());
  controller.abort(new AbortError());
};
process.on('SIGINT', interrupt).on('SIGTERM', interrupt);

process.exitCode = await runMue(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  colours: {stdout: hasColours(process.stdout), stderr: hasColours(process.stderr)},
  signal: controller.signal,
});
