import {MueError} from '../../src/runtime/errors.js';
import {type Random, seededRandom} from '../../src/runtime/random.js';

/** Cases of every target, a quarter of all, and the number of the first: `npm run fuzz -- 10000 0`. */
const CASES = Math.ceil(Number(process.env.FUZZ_CASES ?? 500) / 4);
const FIRST = Number(process.env.FUZZ_FIRST ?? 0);
/** Whether to say on stderr how far it is. */
const LOUD = process.env.FUZZ_CASES !== undefined;

/** Files of one kind, changed at random, and the code that reads them. */
export interface Target {
  readonly name: string;
  /** The most seconds of processor time of a case. */
  readonly seconds: number;
  /** The most bytes of memory beyond those before a case. */
  readonly bytes: number;
  /**
   * Makes the case of a random stream, and reads it.
   * @returns a word for what came out
   * @throws MueError for what is refused; anything else is a finding
   */
  run(random: Random): Promise<string>;
}

/** What a campaign found. */
export interface Findings {
  /** The number of cases of each outcome: a word of the target, or the code of an error. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Cases with an error that was not raised on purpose, by their numbers. */
  readonly raw: readonly string[];
  /** Cases beyond the limits of time or memory. */
  readonly over: readonly string[];
  /** The largest number of seconds and of bytes of a case. */
  readonly most: {readonly seconds: number; readonly bytes: number};
}

/** Runs the cases of a target. Case n is the same on every machine, whatever ran before. */
export async function campaign(target: Target): Promise<Findings> {
  const outcomes: Record<string, number> = {};
  const raw: string[] = [];
  const over: string[] = [];
  const most = {seconds: 0, bytes: 0};
  for (let i = FIRST; i < FIRST + CASES; i++) {
    const before = {cpu: process.cpuUsage(), rss: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS};
    const outcome = await target.run(seededRandom(i)).catch((error: unknown) => {
      if (error instanceof MueError && error.code !== '' && error.message !== '') return error.code;
      raw.push(`case ${i}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      return 'raw error';
    });
    if ('polluted' in {}) raw.push(`case ${i}: Object.prototype was changed`);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    const {user, system} = process.cpuUsage(before.cpu);
    const seconds = (user + system) / 1e6;
    // The peak only ever grows: where it did not, the case took less than an earlier one.
    const peak = process.resourceUsage().maxRSS;
    const bytes = peak > before.peak ? peak * 1024 - before.rss : 0;
    most.seconds = Math.max(most.seconds, seconds);
    most.bytes = Math.max(most.bytes, bytes);
    if (seconds > target.seconds || bytes > target.bytes)
      over.push(`case ${i}: ${seconds.toFixed(1)} s, ${(bytes / 1e6).toFixed(0)} MB (${outcome})`);
    if (LOUD && (i + 1 - FIRST) % 500 === 0) process.stderr.write(`${target.name}: ${i + 1 - FIRST} of ${CASES}\n`);
  }
  if (LOUD) {
    const figures = `most ${most.seconds.toFixed(2)} s, ${(most.bytes / 1e6).toFixed(0)} MB`;
    process.stderr.write(
      `${target.name}: ${CASES} cases, ${raw.length} raw errors, ${over.length} over the limits, ${figures}\n` +
        `  ${JSON.stringify(outcomes)}\n`,
    );
  }
  return {outcomes, raw, over, most};
}
