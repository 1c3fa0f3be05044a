import {Presets, SingleBar} from 'cli-progress';
import type {Output} from './output.js';

/** A bar over the pictures of a list, on stderr: only where a terminal shows it and the answers go elsewhere. */
export class PictureProgress implements Disposable {
  readonly #bar: SingleBar | undefined;

  constructor(total: number, quiet: boolean) {
    if (quiet || total < 2 || !process.stderr.isTTY || process.stdout.isTTY) return;
    const format = '{bar} {value}/{total} pictures  {eta_formatted} left';
    this.#bar = new SingleBar(
      {format, stream: process.stderr, hideCursor: true, clearOnComplete: true},
      Presets.shades_classic,
    );
    this.#bar.start(total, 0);
  }

  step(): void {
    this.#bar?.increment();
  }

  /** Output whose lines do not run into the bar. */
  lines(out: Output): Output {
    const clear = (line: string): string => (this.#bar ? `\r\u001b[K${line}` : line);
    return {...out, say: (line) => out.say(clear(line)), warn: (line) => out.warn(clear(line))};
  }

  [Symbol.dispose](): void {
    this.#bar?.stop();
  }
}
