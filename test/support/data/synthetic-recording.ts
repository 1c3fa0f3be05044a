import fs from 'node:fs';
import {
  parseRecording,
  type Recording,
  type RecordingHeader,
  recordingRow,
} from '../../../src/calibration/recording/entailment.js';
import {seededRandom} from '../../../src/runtime/random.js';

export const SYNTHETIC_HEADER: RecordingHeader = {
  format: 'mue-recording',
  version: 1,
  task: 'snli-ve',
  model: 'ab'.repeat(32),
  data: 'cd'.repeat(32),
  answers: ['no', 'yes', 'maybe'],
  stacks: [
    {stack: 'encoder.image', depth: 3},
    {stack: 'encoder.text', depth: 2},
    {stack: 'decoder', depth: 4},
  ],
};

/** A recording of a model with three towers. */
export const TOWERS_HEADER: RecordingHeader = {
  ...SYNTHETIC_HEADER,
  stacks: [
    {stack: 'vision', depth: 3},
    {stack: 'text', depth: 2},
    {stack: 'multimodal', depth: 4},
  ],
};

/** A recording of a model with a joint encoder. */
export const JOINT_HEADER: RecordingHeader = {
  ...SYNTHETIC_HEADER,
  stacks: [
    {stack: 'encoder', depth: 3},
    {stack: 'decoder', depth: 4},
  ],
};

export interface SyntheticOptions {
  readonly seed?: number;
  /** The probability that a layer is wrong. */
  readonly noise?: number;
  readonly header?: RecordingHeader;
}

/**
 * Rows as a recording has them: similarities that rise with depth, answers that get surer and righter, three items a
 * picture.
 */
export function syntheticRows(
  n: number,
  {seed = 1, noise = 0.5, header = SYNTHETIC_HEADER}: SyntheticOptions = {},
): object[] {
  const random = seededRandom(seed);
  const depths = header.stacks.map(({depth}) => depth);
  const decoder = depths.at(-1)!;
  const grid = depths.reduce((product, depth) => product * depth, 1);
  // Multiply-accumulates of one more layer.
  const steps = depths.map((_, k) => (k === depths.length - 1 ? 5 : [20, 2][k]!));
  const similarities = (depth: number): number[] =>
    Array.from({length: depth}, (_, l) => 1 - (0.3 + 0.1 * random.next()) / (l + 1) ** 2);
  return Array.from({length: n}, (_, index) => {
    const label = random.below(3);
    const hard = random.next();
    const logits = new Float32Array(grid * 3);
    const similarity = new Float32Array(grid);
    for (let c = 0; c < similarity.length; c++) {
      const layer = 1 + (c % decoder);
      similarity[c] = 1 - (0.3 + 0.1 * random.next()) / layer ** 2;
      const right = random.next() > (noise * hard) / layer ? label : random.below(3);
      for (let k = 0; k < 3; k++) logits[3 * c + k] = random.next() + (k === right ? layer * (1.2 - hard) * 2 : 0);
    }
    const macs = Float64Array.from(similarity, (_, c) => {
      let rest = c;
      let more = 0;
      for (const [k, depth] of [...depths.entries()].reverse()) {
        more += steps[k]! * (rest % depth);
        rest = Math.floor(rest / depth);
      }
      return 100 + more + (index % 3);
    });
    const item = {index, id: `i${index}`, imageId: `p${Math.floor(index / 3)}`, label: header.answers[label]!};
    return {
      ...recordingRow(item, {encoder: depths.slice(0, -1).map(similarities), similarity, logits, macs}, depths),
    };
  });
}

export function syntheticRecording(n: number, options: SyntheticOptions = {}): Recording {
  return parseRecording(options.header ?? SYNTHETIC_HEADER, syntheticRows(n, options), 'synthetic');
}

/** The recording in the format of `mue record`. */
export function writeRecording(file: string, rows: readonly object[], header: object = SYNTHETIC_HEADER): string {
  fs.writeFileSync(file, [header, ...rows].map((row) => `${JSON.stringify(row)}\n`).join(''));
  return file;
}
