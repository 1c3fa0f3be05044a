import {WeightsError} from '../runtime/errors.js';
import {withoutSchemaName} from '../runtime/schema-name.js';
import {cocaFamily} from './coca/family.js';
import type {ModelConfig, ModelFamily} from './family.js';
import {ofaFamily} from './ofa/family.js';

/** Every family of models; a new one is a folder and a line here. */
export const FAMILIES: readonly [ModelFamily, ...ModelFamily[]] = [ofaFamily, cocaFamily];

/** A configuration, and the family that it is of. */
export interface KnownConfig {
  readonly family: ModelFamily;
  readonly config: ModelConfig;
}

/** The family that a `config.json` names; the first one where it names none. */
function named(json: unknown): ModelFamily | undefined {
  const name = typeof json === 'object' && json !== null && 'family' in json ? json.family : FAMILIES[0].name;
  return FAMILIES.find((family) => family.name === name);
}

/** A converted model's configuration; undefined if it is none. */
export function knownConfig(json: unknown): KnownConfig | undefined {
  const family = named(json);
  const parsed = family?.configSchema.safeParse(withoutSchemaName(json));
  return family && parsed?.success ? {family, config: parsed.data} : undefined;
}

/**
 * @param source   what messages call it
 * @throws         WeightsError if it does not describe a model of a known family
 */
export function parseConfig(json: unknown, source: string): KnownConfig {
  const family = named(json);
  const hint = 'A model folder is what `mue convert` writes.';
  if (!family)
    throw new WeightsError(
      'config-invalid',
      `${source} names a family of models that is not known; known are ${FAMILIES.map(({name}) => name).join(', ')}`,
      {
        hint,
      },
    );
  const parsed = family.configSchema.safeParse(withoutSchemaName(json));
  if (parsed.success) return {family, config: parsed.data};
  const why = parsed.error.issues.map(({path: at, message}) => `${at.join('.') || 'top level'}: ${message}`).join('; ');
  throw new WeightsError(
    'config-invalid',
    `${source} does not describe a model of the family '${family.name}': ${why}`,
    {hint},
  );
}

/**
 * The family whose names a checkpoint has, or whose architecture was asked for; the first one, to complain, if there is
 * none.
 */
export function familyOfCheckpoint(names: readonly string[], architecture?: string): ModelFamily {
  const asked =
    architecture === undefined ? undefined : FAMILIES.find(({architectures}) => architectures.includes(architecture));
  return asked ?? FAMILIES.find((family) => family.recognises(names)) ?? FAMILIES[0];
}
