import {spawn} from 'node:child_process';
import {fileURLToPath} from 'node:url';

/** The built program: `npm test` builds first. */
export const MUE: string = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface MueCommandOptions {
  /** Bytes on stdin. */
  readonly input?: Uint8Array;
  /** Sent as soon as stderr has the text. */
  readonly interruptAt?: string;
}

/** Runs the built `mue` in a process of its own. */
export function mueCommand(args: readonly string[], {input, interruptAt}: MueCommandOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MUE, ...args], {stdio: 'pipe'});
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      if (interruptAt !== undefined && !child.killed && stderr.includes(interruptAt)) child.kill('SIGINT');
    });
    child.on('error', reject).on('close', (code) => resolve({code, stdout, stderr}));
    // A command that never reads its input closes the pipe.
    child.stdin.on('error', () => undefined).end(input);
  });
}
