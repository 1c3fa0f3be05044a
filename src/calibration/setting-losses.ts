import type {CalibrationCost, RiskUnit} from './calibration.js';
import type {PolicyReplay} from './replay/policy-replay.js';
import type {PolicySetting} from './policy-setting.js';
import type {ReplayLoss} from './replay-problem.js';

/** Losses and costs by observation: by item, or as means by picture. */
export interface SettingLosses {
  readonly losses: ArrayLike<number>;
  /** Answers that differ from those of full depth. */
  readonly changes: ArrayLike<number>;
  readonly costs: ArrayLike<number>;
}

/** What Pareto Testing asks of a list of settings, computed at the first use and kept. */
export function settingLosses(
  replay: PolicyReplay,
  settings: readonly PolicySetting[],
  {risk, unit, cost}: {readonly risk: ReplayLoss; readonly unit: RiskUnit; readonly cost: CalibrationCost},
): (candidate: number) => SettingLosses {
  const {n, depths} = replay.recording;
  const right = replay.fixed(depths.image, depths.text, depths.decoder).correct;
  const known: (SettingLosses | undefined)[] = [];
  return (candidate) => {
    const kept = known[candidate];
    if (kept !== undefined) return kept;
    const items = replay.outcomes(settings[candidate]!);
    const [losses, changes] = [new Uint8Array(n), Uint8Array.from(items.agrees, (agrees) => 1 - agrees)];
    for (let i = 0; i < n; i++) losses[i] = risk === 'consistency' ? changes[i]! : Math.max(0, right[i]! - items.correct[i]!);
    const costs = cost === 'layers' ? new Float64Array(n) : Float64Array.from(items.costs[cost]!);
    if (cost === 'layers')
      for (let i = 0; i < n; i++) costs[i] = (items.imageLayers[i]! + items.textLayers[i]!) / 2 + items.decoderLayers[i]!;
    const of = (values: ArrayLike<number>): ArrayLike<number> => (unit === 'item' ? values : byPicture(values, replay.pictures));
    const result = {losses: of(losses), changes: of(changes), costs: of(costs)};
    known[candidate] = result;
    return result;
  };
}

function byPicture(values: ArrayLike<number>, pictures: readonly number[]): Float64Array {
  const count = new Set(pictures).size;
  const [sums, items] = [new Float64Array(count), new Float64Array(count)];
  for (const [i, picture] of pictures.entries()) {
    sums[picture]! += values[i]!;
    items[picture]!++;
  }
  return sums.map((sum, p) => sum / items[p]!);
}
