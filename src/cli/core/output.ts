/** Where words go: data to stdout, everything meant for people to stderr. */
export interface Output {
  /** A line of data. */
  data(line: string): void;
  /** A line for people; silenced by --quiet. */
  say(line: string): void;
  /** A line for people that --quiet does not silence. */
  warn(line: string): void;
  readonly quiet: boolean;
}

export function createOutput({quiet}: {readonly quiet: boolean}): Output {
  return {
    data: (line) => {
      process.stdout.write(`${line}\n`);
    },
    say: (line) => {
      if (!quiet) process.stderr.write(`${line}\n`);
    },
    warn: (line) => {
      process.stderr.write(`${line}\n`);
    },
    quiet,
  };
}
