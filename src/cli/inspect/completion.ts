import type {Command, CommandUnknownOpts} from '@commander-js/extra-typings';
import {UsageError} from '../../runtime/errors.js';
import {type DefinedCommand, defineCommand} from '../core/define-command.js';
import {SHELLS} from '../core/completion-script.js';

/** It describes the program that it stands in. */
export const completion: DefinedCommand = {
  register(program, host, finished) {
    completionOf(program).register(program, host, finished);
  },
};

function completionOf(program: Command): DefinedCommand {
  return defineCommand({
    name: 'completion',
    summary: 'Print a script that completes commands, options and their values in a shell',
    example: 'mue completion bash > ~/.local/share/bash-completion/completions/mue',
    arguments: [['<shell>', SHELLS.join(', ')]],
    options: (command) => command,
    async run([name], _, {out}) {
      const shell = SHELLS.find((known) => known === name);
      if (shell === undefined)
        throw new UsageError('shell-unknown', `mue completion: wanted ${SHELLS.join(', ')}, got '${name}'`);
      const {completionScript} = await import('../core/completion-script.js');
      out.data(completionScript(program as unknown as CommandUnknownOpts, shell));
      return 0;
    },
  });
}
