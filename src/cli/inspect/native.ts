import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import {Option} from '@commander-js/extra-typings';
import {throwIfAborted, UsageError} from '../../runtime/errors.js';
import {defineCommand} from '../core/define-command.js';

const BUILD = fileURLToPath(new URL('../../../tools/native/build.mjs', import.meta.url));
const KINDS = ['cpu', 'gpu'];

export const native = defineCommand({
  name: 'native',
  summary: 'Build TensorFlow for --device native (cpu) or cuda (gpu); downloads it with pip, needs python3 and g++',
  example: 'mue native cpu',
  arguments: [['[kind]', 'cpu or gpu (default: cpu)']],
  options: (command) => command.addOption(new Option('--force', 'build again, whatever is there')),
  /** A process of its own, which says what it does and what it lacks. */
  async run([kind = 'cpu'], {force}, {signal}) {
    if (!KINDS.includes(kind))
      throw new UsageError('native-kind', `mue native: wanted cpu or gpu, got '${kind}'`, {
        hint: 'cpu builds for --device native, gpu for --device cuda.',
      });
    throwIfAborted(signal);
    const child = spawn(process.execPath, [BUILD, kind, ...(force ? ['--force'] : [])], {stdio: 'inherit'});
    // It removes what it has begun.
    const stop = (): boolean => child.kill('SIGTERM');
    signal.addEventListener('abort', stop);
    try {
      const [code] = (await once(child, 'exit')) as [number | null];
      throwIfAborted(signal);
      return code === 0 ? 0 : 4;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  },
});
