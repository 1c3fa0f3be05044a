import {Command, type CommandUnknownOpts} from '@commander-js/extra-typings';
import {ALIASES} from './aliases.js';

/** A spelling without what people vary: `--numBeams`, `--num_beams` and `--num-beams` are the same. */
const plain = (flag: string): string => flag.toLowerCase().replace(/[-_]/g, '');

/**
 * An error of commander about an unknown option, with the option that was probably meant: aliases and other ways of
 * joining words are known. Other errors stay as they are.
 * @param text      the message, ending in a line break
 * @param command   the command that was called
 */
export function withSuggestion(text: string, command: CommandUnknownOpts): string {
  const flag = text.match(/unknown option '(--[^'=]+)/)?.[1];
  if (flag === undefined) return text;
  const own = command.options.flatMap(({long}) => (long ? [long] : []));
  const aliases = Object.keys(ALIASES).filter((alias) => own.includes(ALIASES[alias]!));
  const known = [...own, ...aliases];
  const meant = known.find((name) => plain(name) === plain(flag)) ?? similar(flag, known);
  if (meant === undefined) return text;
  return text.replace(/(?:\s*\(Did you mean .*?\?\))?\s*$/s, `\n(Did you mean ${meant}?)\n`);
}

/** The candidate that commander would suggest. */
function similar(flag: string, candidates: readonly string[]): string | undefined {
  const probe = new Command()
    .helpOption(false)
    .exitOverride()
    .configureOutput({outputError: () => {}});
  for (const candidate of new Set(candidates)) probe.option(candidate);
  try {
    probe.parse([flag], {from: 'user'});
  } catch (error) {
    return (error as Error).message.match(/\(Did you mean (?:one of )?(--[^,?\s]+)/)?.[1];
  }
  return undefined;
}
