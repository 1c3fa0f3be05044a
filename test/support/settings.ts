import type {PolicySetting} from '../../src/calibration/policy-setting.js';

/** Similarity in all stacks, at these thresholds, or another policy in the last. */
export function similar(image: number | null, text: number | null, rest: Partial<PolicySetting> = {}): PolicySetting {
  return {encoder: 'similarity', policy: 'similarity', image, text, decoder: null, ...rest};
}
