import {visible} from '../../text/visible.js';

/** The two streams of a command. */
export interface Streams {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Which of them show colours; none by default. */
  readonly colours?: {readonly stdout: boolean; readonly stderr: boolean};
}

/** Where lines go: data to stdout, everything meant for people to stderr. */
export interface Output {
  /** A line of data. Its control characters are shown, as those of the other lines are (see `visible`). */
  data(line: string): void;
  /** A line of data with colours; whoever made it has made `visible` what comes from elsewhere. */
  styled(line: string): void;
  /** A line for people; silenced by --quiet. */
  say(line: string): void;
  /** A line for people that --quiet does not silence. */
  warn(line: string): void;
  readonly quiet: boolean;
  /** Whether data may be `styled`. */
  readonly colours: boolean;
}

export function createOutput({stdout, stderr, colours}: Streams, quiet: boolean): Output {
  return {
    data: (line) => stdout(`${visible(line)}\n`),
    styled: (line) => stdout(`${line}\n`),
    say: (line) => {
      if (!quiet) stderr(`${visible(line)}\n`);
    },
    warn: (line) => stderr(`${visible(line)}\n`),
    quiet,
    colours: colours?.stdout ?? false,
  };
}

/** How answers are printed: for people, as one JSON value at the end, or as a JSON object a line. */
export type PrintFormat = 'text' | 'json' | 'jsonl';

/** JSON objects on stdout, one an input. */
export class ObjectPrinter {
  readonly #objects: object[] = [];

  /** @param inputs how many there are: a single one's object is printed by itself, those of several as an array */
  constructor(
    private readonly out: Output,
    private readonly format: PrintFormat,
    private readonly inputs: number,
  ) {}

  /** Takes the object of the next input, and prints it at once as `jsonl`; as `text` it is dropped. */
  add(object: object): void {
    if (this.format === 'jsonl') this.out.data(JSON.stringify(object));
    if (this.format === 'json') this.#objects.push(object);
  }

  /** Prints what `json` has kept. */
  end(): void {
    if (this.format !== 'json') return;
    this.out.data(JSON.stringify(this.inputs === 1 ? this.#objects[0] : this.#objects, null, 2));
  }
}
