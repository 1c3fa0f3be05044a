import {decoderHead} from '../../calibration/replay/decoder-head.js';
import {PolicyReplay} from '../../calibration/replay/policy-replay.js';
import {parseSettings} from '../../calibration/settings/file.js';
import {DECODER_POLICIES, type DecoderPolicy, type PolicySetting} from '../../calibration/policy-setting.js';
import type {LinearHead} from '../../exit/policies/linear-head.js';
import {readRecordings} from '../../node/runs/read-shards.js';
import {UsageError} from '../../runtime/errors.js';
import {readTextFile} from '../../node/files/regular-file.js';

/** The settings to sweep: those of a file, else a grid over the scores of a recording. */
export interface SettingsChoice {
  readonly file?: string;
  /** Policies of the decoder; default: all. */
  readonly policies?: readonly DecoderPolicy[];
  /** Thresholds a stack. */
  readonly grid: number;
}

/**
 * The settings of a file that --thresholds names.
 * @param policies keep only settings of these; default: all
 * @throws UsageError `settings-missing`, `settings-invalid`
 */
export function readSettings(file: string, policies: readonly DecoderPolicy[] | undefined): PolicySetting[] {
  let text: string;
  try {
    text = readTextFile(file);
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

/**
 * Policies by name.
 * @param list separated by commas
 * @param source the option, for messages
 * @throws UsageError `policy-unknown`
 */
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

/**
 * The head that `linear-head` learns from another recording, if there is one.
 * @param file that --train names
 * @throws UsageError `train-mismatch` if it is of another model
 */
export function trainedHead(
  file: string | undefined,
  header: {readonly model: string},
  seed: number,
): LinearHead | undefined {
  if (file === undefined) return undefined;
  const {recording} = readRecordings([file]);
  if (recording.header.model !== header.model)
    throw new UsageError('train-mismatch', `--train ${file} was recorded with another model`, {
      hint: 'A head reads scores of one model only.',
    });
  const {measures} = new PolicyReplay(recording);
  return decoderHead(
    measures,
    Array.from({length: recording.n}, (_, i) => i),
    seed,
  );
}
