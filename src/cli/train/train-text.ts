import type {TrainingPlan} from '../../node/training/plan.js';
import type {TrainedStep} from '../../node/training/training-log.js';

const EVERY_MS = 10_000;

/** Lets something through now and then, so that hours of work do not fill a terminal. */
export class Throttle {
  readonly #start = performance.now();
  #last = this.#start;

  /** @param say gets the seconds since the beginning */
  pass(say: (seconds: number) => void): void {
    const now = performance.now();
    if (now - this.#last < EVERY_MS) return;
    this.#last = now;
    say((now - this.#start) / 1000);
  }
}

/** An update in one line, or with what a validation found. */
export function stepText({update, updates, loss, layers, norm, skipped, ms, validation}: TrainedStep): string {
  const perLayer = layers.map((nats) => nats.toFixed(3)).join(' ');
  const lost = skipped > 0 ? `, ${skipped} skipped` : '';
  const line = `update ${update} of ${updates}: loss ${loss.toFixed(3)}, by layer ${perLayer}, norm ${norm.toFixed(2)}${lost}, ${(ms / 1000).toFixed(1)} s`;
  if (!validation) return line;
  const {metric, depths, best} = validation;
  const found = depths.map(({depth, value}) => `depth ${depth} ${value.toFixed(4)}`).join(', ');
  return `${line}\nvalidation: ${metric} ${found}${best ? ', the best so far' : ''}`;
}

export function planText(plan: TrainingPlan): string {
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
  const time = (seconds: number): string =>
    seconds < 120
      ? `${seconds.toFixed(0)} s`
      : seconds < 7200
        ? `${(seconds / 60).toFixed(0)} min`
        : `${(seconds / 3600).toFixed(1)} h`;
  return [
    `examples    ${plan.examples}`,
    `trained     ${(plan.trained / 1e6).toFixed(2)} M numbers`,
    `updates     ${plan.updates}, ${plan.secondsPerUpdate.toFixed(2)} s each`,
    `memory      ${mb(plan.memoryBytes)} of this process at most so far`,
    `disk        ${mb(plan.diskBytes)}: encodings ${mb(plan.encodingBytes)}, the state, the models`,
    `encoding    ${time(plan.encodingSeconds)} (about, for rows that are not kept yet)`,
    `training    ${time(plan.trainingSeconds)}, without validations`,
  ].join('\n');
}
