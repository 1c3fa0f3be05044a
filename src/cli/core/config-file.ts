import {type CommandUnknownOpts, InvalidArgumentError} from '@commander-js/extra-typings';
import {z} from 'zod';
import {UsageError} from '../../runtime/errors.js';
import {readTextFile} from '../../node/files/regular-file.js';
import {parseJson} from '../../runtime/parse-json.js';

const configSchema = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

/**
 * Takes defaults for the command's options from a JSON object, by the options' names (dashes or underscores). The
 * command line wins.
 * @throws UsageError for a file that cannot be read, a name that is no option, or a value that the option refuses
 */
export function applyConfigFile(command: CommandUnknownOpts, file: string): void {
  for (const [name, value] of Object.entries(readConfigFile(file))) {
    const flag = `--${name.replaceAll('_', '-')}`;
    const option = command.options.find(({long}) => long?.replaceAll('_', '-') === flag);
    if (!option || flag === '--config') {
      const known = command.options
        .map(({long}) => long?.slice(2))
        .filter((long) => long !== undefined && long !== 'config');
      throw new UsageError('config-option', `${file}: '${name}' is no option of mue ${command.name()}`, {
        hint: `Known: ${known.join(', ')}.`,
      });
    }
    const attribute = option.attributeName();
    if (command.getOptionValueSource(attribute) === 'cli') continue;
    const takesValue = option.required || option.optional;
    if (takesValue === (typeof value === 'boolean'))
      throw new UsageError(
        'config-value',
        `${file}: '${name}' must be ${takesValue ? 'a value' : 'true or false'}, not ${JSON.stringify(value)}`,
      );
    command.setOptionValueWithSource(attribute, parse(value), 'config');

    function parse(given: string | number | boolean): unknown {
      if (typeof given === 'boolean' || !option?.parseArg) return typeof given === 'boolean' ? given : String(given);
      try {
        return option.parseArg(String(given), undefined);
      } catch (error) {
        if (!(error instanceof InvalidArgumentError)) throw error;
        throw new UsageError('config-value', `${file}: '${name}': ${error.message}`);
      }
    }
  }
}

function readConfigFile(file: string): z.infer<typeof configSchema> {
  const refuse = (why: string): never => {
    throw new UsageError('config-invalid', `--config ${file}: ${why}`, {
      hint: 'It is a JSON object of option names and values, such as {"num-beams": 3}.',
    });
  };
  let json: unknown;
  try {
    json = parseJson(readTextFile(file));
  } catch (error) {
    return refuse((error as Error).message);
  }
  const parsed = configSchema.safeParse(json);
  return parsed.success
    ? parsed.data
    : refuse(parsed.error.issues.map(({path, message}) => `${path.join('.') || 'top level'}: ${message}`).join('; '));
}
