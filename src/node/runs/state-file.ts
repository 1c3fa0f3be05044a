import {
  checkStates,
  countPositions,
  type StateGroup,
  stateGroupSchema,
  type StatesHeader,
  type StateStore,
} from '../../training/states.js';
import {NumberLog} from './number-log.js';

/**
 * States in a folder (see NumberLog), little-endian float32, [L, n, D] a group. Disposing it closes the files.
 */
export class StateFile implements StateStore, Disposable {
  readonly layers: number;
  readonly size: number;

  private constructor(
    readonly header: StatesHeader,
    private readonly log: NumberLog<StateGroup>,
  ) {
    this.layers = header.layers;
    this.size = header.size;
  }

  /**
   * Opens for appending, or begins the folder.
   * @throws UsageError `resume-mismatch` if it was begun for other states
   * @throws InputError `recording-corrupt`, `cannot-write`, `folder-in-use`
   */
  static open(folder: string, header: StatesHeader): StateFile {
    const bytesOf = ({labels}: StateGroup): number => 4 * header.layers * header.size * labels.length;
    const format = {header, file: 'states.f32', schema: stateGroupSchema, bytesOf};
    return new StateFile(header, NumberLog.open(folder, format));
  }

  /** Size of the numbers. */
  get bytes(): number {
    return this.log.bytes;
  }

  get groups(): readonly StateGroup[] {
    return this.log.rows;
  }

  /** @throws InputError `folder-in-use` if another process writes there; `cannot-write`; `score-not-finite` */
  append(group: StateGroup, states: Float32Array): void {
    checkStates(states, this.layers * group.labels.length * this.size);
    this.log.append(group, new Uint8Array(states.buffer, states.byteOffset, states.byteLength));
  }

  read(layer: number): Float32Array {
    const all = new Float32Array(countPositions(this.groups) * this.size);
    let [at, from] = [0, 0];
    for (const {labels} of this.groups) {
      const length = labels.length * this.size;
      this.log.read(from + 4 * (layer - 1) * length, new Uint8Array(all.buffer, 4 * at, 4 * length));
      at += length;
      from += 4 * this.layers * length;
    }
    return this.log.check(all);
  }

  [Symbol.dispose](): void {
    this.log[Symbol.dispose]();
  }
}
