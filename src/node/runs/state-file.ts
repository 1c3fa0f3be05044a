import fs from 'node:fs';
import path from 'node:path';
import {InputError} from '../../runtime/errors.js';
import {
  checkStates,
  countPositions,
  type StateGroup,
  stateGroupSchema,
  type StatesHeader,
  type StateStore,
} from '../../training/states.js';
import {makeFolder} from './evaluation-folder.js';
import {RowLog} from './row-log.js';
import {cannotWrite, writeWhole} from './write-atomic.js';

const ROWS = 'rows.jsonl';
const STATES = 'states.f32';

/**
 * States in a folder: `rows.jsonl`, a row log of groups, and `states.f32`, their numbers one behind the other as
 * little-endian float32, [L, n, D] a group. The numbers are written first: whatever kills the process, the next append
 * cuts off what no row speaks of. Disposing it closes the files.
 */
export class StateFile implements StateStore, Disposable {
  readonly layers: number;
  readonly size: number;
  #bytes: number;

  private constructor(
    readonly folder: string,
    readonly header: StatesHeader,
    private readonly log: RowLog,
    private readonly fd: number,
    private readonly known: StateGroup[],
    /** Bytes of states.f32. */
    private found: number,
    /** Bytes of it that rows speak of. */
    bytes: number,
  ) {
    this.layers = header.layers;
    this.size = header.size;
    this.#bytes = bytes;
  }

  /**
   * Opens for appending, or begins the folder.
   * @throws UsageError `resume-mismatch` if it was begun for other states
   * @throws InputError `recording-corrupt`, `cannot-write`
   */
  static open(folder: string, header: StatesHeader): StateFile {
    makeFolder(folder);
    const log = RowLog.open(path.join(folder, ROWS), {...header});
    let fd: number | undefined;
    try {
      const groups = log.rows.map((row, i): StateGroup => {
        const parsed = stateGroupSchema.safeParse(row);
        if (parsed.success) return parsed.data;
        throw corrupt(folder, `row ${i + 1}: ${parsed.error.issues[0]?.message ?? ''}`);
      });
      const file = path.join(folder, STATES);
      const bytes = 4 * header.layers * header.size * countPositions(groups);
      fd = fs.openSync(file, 'a+');
      const {size} = fs.fstatSync(fd);
      if (size < bytes) throw corrupt(folder, `${STATES} has ${size} bytes, but its rows speak of ${bytes}`);
      return new StateFile(folder, header, log, fd, groups, size, bytes);
    } catch (error) {
      if (fd !== undefined) fs.closeSync(fd);
      log[Symbol.dispose]();
      throw cannotWrite(folder, error);
    }
  }

  /** Size of the numbers. */
  get bytes(): number {
    return this.#bytes;
  }

  get groups(): readonly StateGroup[] {
    return this.known;
  }

  /** @throws InputError `folder-in-use` if another process writes there; `cannot-write`; `score-not-finite` */
  append(group: StateGroup, states: Float32Array): void {
    checkStates(states, this.layers * group.labels.length * this.size);
    if (fs.fstatSync(this.fd).size !== this.found)
      throw new InputError('folder-in-use', `${this.folder}: another process writes to it`, {
        hint: 'Give each run a folder of its own.',
      });
    try {
      if (this.found > this.#bytes) fs.ftruncateSync(this.fd, this.#bytes);
      writeWhole(this.fd, new Uint8Array(states.buffer, states.byteOffset, states.byteLength));
    } catch (error) {
      fs.ftruncateSync(this.fd, this.#bytes);
      throw cannotWrite(this.folder, error);
    }
    this.#bytes += states.byteLength;
    this.found = this.#bytes;
    this.log.append({...group});
    this.known.push(group);
  }

  read(layer: number): Float32Array {
    const all = new Float32Array(countPositions(this.known) * this.size);
    let [at, from] = [0, 0];
    for (const {labels} of this.known) {
      const length = labels.length * this.size;
      const bytes = new Uint8Array(all.buffer, 4 * at, 4 * length);
      const start = from + 4 * (layer - 1) * length;
      for (let done = 0; done < bytes.length; ) {
        const read = fs.readSync(this.fd, bytes, done, bytes.length - done, start + done);
        if (read === 0) throw corrupt(this.folder, `${STATES} ends too early`);
        done += read;
      }
      at += length;
      from += 4 * this.layers * length;
    }
    if (!all.every(Number.isFinite)) throw corrupt(this.folder, `${STATES} holds what is no number`);
    return all;
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.fd);
    this.log[Symbol.dispose]();
  }
}

function corrupt(folder: string, why: string): InputError {
  return new InputError('recording-corrupt', `${folder}: ${why}`, {hint: 'Delete the folder and begin again.'});
}
