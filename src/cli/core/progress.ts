import {Presets, SingleBar} from 'cli-progress';
import type {Output} from './output.js';

/** A bar on stderr. It goes away when it stops. @param format of cli-progress, such as `{bar} {value}/{total}` */
export function progressBar(format: string): SingleBar {
  return new SingleBar(
    {format, stream: process.stderr, hideCursor: true, clearOnComplete: true},
    Presets.shades_classic,
  );
}

/** Output whose lines do not run into a bar. @param shown whether the bar is on the terminal now */
export function linesBesideBar(out: Output, shown: () => boolean): Output {
  const clear = (): void => {
    if (shown()) process.stderr.write('\r\u001b[K');
  };
  const beside =
    (write: (line: string) => void) =>
    (line: string): void => {
      clear();
      write(line);
    };
  return {...out, data: beside(out.data), styled: beside(out.styled), say: beside(out.say), warn: beside(out.warn)};
}

/** A bar over the images of a list, where a terminal shows it; it stays below the answers. */
export class ImageProgress implements Disposable {
  readonly #bar: SingleBar | undefined;

  constructor(total: number, quiet: boolean) {
    if (quiet || total < 2 || !process.stderr.isTTY) return;
    this.#bar = progressBar('{bar} {value}/{total} pictures  {eta_formatted} left');
    this.#bar.start(total, 0);
  }

  step(): void {
    this.#bar?.increment();
  }

  /** Output whose lines do not run into the bar. */
  lines(out: Output): Output {
    return linesBesideBar(out, () => this.#bar !== undefined);
  }

  [Symbol.dispose](): void {
    this.#bar?.stop();
  }
}
