import type {SingleBar} from 'cli-progress';
import type {Progress} from '../../node/runs/evaluate-into.js';
import type {Output} from '../core/output.js';
import {linesBesideBar, progressBar} from '../core/progress.js';

const EVERY_MS = 10_000;

/** Shows how far a run is: a bar on a terminal, a line now and then elsewhere; nothing with --quiet. */
export class EvaluationProgress implements Disposable {
  readonly #bar: SingleBar | undefined;
  #start: number | undefined;
  #said = 0;
  #shown = false;

  constructor(private readonly out: Output) {
    if (out.quiet || !process.stderr.isTTY) return;
    this.#bar = progressBar('{bar} {value}/{total} rows  {rate}  {left}{failed}');
  }

  show(progress: Progress): void {
    const now = performance.now();
    // Loading the model was before.
    this.#start ??= this.#said = now;
    const {rate, left, failed} = this.#words(progress, (now - this.#start) / 1e3);
    const total = Math.max(progress.total ?? progress.done, progress.done);
    if (this.#bar) {
      if (!this.#shown) this.#bar.start(total, progress.done, {rate, left, failed});
      this.#shown = true;
      this.#bar.setTotal(total);
      this.#bar.update(progress.done, {rate, left, failed});
    } else if (now - this.#said >= EVERY_MS) {
      this.#said = now;
      this.out.say(
        `${progress.done}${progress.total === undefined ? '' : `/${total}`} rows  ${rate}  ${left}${failed}`.trimEnd(),
      );
    }
  }

  /** Output whose lines do not run into the bar. */
  lines(): Output {
    return linesBesideBar(this.out, () => this.#bar !== undefined && this.#shown);
  }

  [Symbol.dispose](): void {
    this.#bar?.stop();
  }

  #words({done, before, failed, total}: Progress, seconds: number): {rate: string; left: string; failed: string} {
    const perSecond = (done - before) / seconds;
    const known = done > before && seconds > 0;
    return {
      rate: known ? `${perSecond.toPrecision(3)} rows/s` : '',
      left: known && total !== undefined ? `${duration(Math.max(0, total - done - failed) / perSecond)} left` : '',
      failed: failed > 0 ? `  ${failed} skipped` : '',
    };
  }
}

function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  return s < 3600
    ? `${Math.floor(s / 60)} min ${s % 60} s`
    : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}
