import fs from 'node:fs';
import {DECODER_POLICIES, type DecoderPolicy, type PolicySetting} from '../../calibration/policy-setting.js';
import {parseSettings} from '../../calibration/settings/file.js';
import {UsageError} from '../../runtime/errors.js';

/** The settings of --thresholds, of all or some policies. @throws UsageError `settings-missing`, `settings-invalid` */
export function readSettings(file: string, policies: readonly DecoderPolicy[] | undefined): PolicySetting[] {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError('settings-missing', `--thresholds ${file} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  const settings = parseSettings(text, file).filter(({policy}) => policies?.includes(policy) ?? true);
  if (settings.length === 0)
    throw new UsageError('settings-invalid', `${file} has no setting of the policies ${policies?.join(', ')}`);
  return settings;
}

/** Policies by name. @throws UsageError `policy-unknown` */
export function parsePolicies(list: string, source: string): DecoderPolicy[] {
  return list.split(',').map((part) => {
    const name = DECODER_POLICIES.find((policy) => policy === part.trim());
    if (name === undefined)
      throw new UsageError(
        'policy-unknown',
        `${source}: '${part.trim()}' is no policy that can be replayed; known are ${DECODER_POLICIES.join(', ')}`,
      );
    return name;
  });
}
