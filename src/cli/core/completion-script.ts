import type {CommandUnknownOpts, Option} from '@commander-js/extra-typings';
import {SHIPPED_MODELS} from '../../node/model/shipped-models.js';
import {DEVICES} from '../../runtime/devices.js';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** Values of options that take others, too, or that their parser checks. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  '--device': DEVICES,
  '--exit': ['model', 'never', 'release'],
  '--model': SHIPPED_MODELS,
};

/** A command as completion sees it: its words, such as `train exits`, and what may follow. */
interface Completed {
  readonly words: readonly string[];
  readonly summary: string;
  readonly options: readonly Option[];
  /** Names of commands below it. */
  readonly below: readonly string[];
}

/** A script that completes commands, options and their values; file names everywhere else. */
export function completionScript(program: CommandUnknownOpts, shell: Shell): string {
  const commands = described(program, []);
  if (shell === 'fish') return fish(commands);
  const script = bash(commands);
  return shell === 'bash' ? script : `#compdef mue\nautoload -U +X bashcompinit && bashcompinit\n${script}`;
}

function described(command: CommandUnknownOpts, words: readonly string[]): Completed[] {
  const below = command.commands.map((child) => child.name());
  const own = {words, summary: command.description(), options: command.options, below};
  return [own, ...command.commands.flatMap((child) => described(child, [...words, child.name()]))];
}

const valuesOf = (option: Option): readonly string[] => option.argChoices ?? VALUES[option.long ?? ''] ?? [];

function bash(commands: readonly Completed[]): string {
  const groups = commands
    .filter(({words, below}) => words.length === 1 && below.length > 0)
    .map(({words}) => words[0]!);
  const list = (words: readonly string[]): string =>
    `COMPREPLY=($(compgen -W "${words.join(' ')}" -- "$word")); return`;
  return [
    '_mue() {',
    `  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command="" at=1`,
    `  if (( COMP_CWORD > 1 )); then command="\${COMP_WORDS[1]}"; at=2; fi`,
    ...groups.map(
      (group) =>
        `  if [[ $command == ${group} ]] && (( COMP_CWORD > 2 )); then command="${group} \${COMP_WORDS[2]}"; at=3; fi`,
    ),
    '  case "$command $before" in',
    ...commands.flatMap(({words, options}) =>
      options
        .filter((option) => valuesOf(option).length > 0)
        .map((option) => `    "${words.join(' ')} ${option.long}") ${list(valuesOf(option))} ;;`),
    ),
    '  esac',
    '  case "$command" in',
    ...commands.flatMap(({words, options, below}) => {
      const name = words.join(' ');
      const flags = ['--help', ...options.flatMap(({long}) => (long ? [long] : []))];
      return [
        ...(below.length > 0
          ? [`    "${name}") if (( COMP_CWORD == at )) && [[ $word != -* ]]; then ${list(below)}; fi ;;&`]
          : []),
        `    "${name}") if [[ $word == -* ]]; then ${list(flags)}; fi ;;`,
      ];
    }),
    '  esac',
    '}',
    'complete -o default -F _mue mue',
  ].join('\n');
}

function fish(commands: readonly Completed[]): string {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;
  const line = (condition: string, ...rest: readonly string[]): string =>
    `complete -c mue -n ${quoted(condition)} ${rest.join(' ')}`;
  return commands
    .flatMap(({words, summary, options}) => {
      const seen = (names: readonly string[]): string =>
        names.map((name) => `__fish_seen_subcommand_from ${name}`).join('; and ');
      const above = words.length === 1 ? '__fish_use_subcommand' : seen(words.slice(0, -1));
      const command = words.length === 0 ? [] : [line(above, '-f', '-a', words.at(-1)!, '-d', quoted(summary))];
      return [
        ...command,
        ...options.map(({long, short, description, required, optional, ...option}) => {
          const values = valuesOf({long, ...option} as Option);
          const argument =
            values.length > 0 ? ['-x', '-a', quoted(values.join(' '))] : required || optional ? ['-r'] : [];
          const name = [...(long ? ['-l', long.slice(2)] : []), ...(short ? ['-s', short.slice(1)] : [])];
          return line(
            words.length === 0 ? '__fish_use_subcommand' : seen(words),
            ...name,
            ...argument,
            '-d',
            quoted(description),
          );
        }),
      ];
    })
    .join('\n');
}
