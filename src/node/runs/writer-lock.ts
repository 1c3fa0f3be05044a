import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {InputError} from '../../runtime/errors.js';
import {readTextFile} from '../files/regular-file.js';
import {cannotWrite} from './write-atomic.js';
import {parseJson} from '../../runtime/parse-json.js';

/** The process that holds a lock, as the lock's file names it. */
interface Holder {
  /** Differs for every lock that was ever taken. */
  readonly token: string;
  readonly pid: number;
  /** When the process began, as the system counts it: numbers of processes are given out again. Null where unknown. */
  readonly started: string | null;
  /** Machine, its start, and space of process numbers: within one of these a pid tells a process. */
  readonly machine: string;
  readonly host: string;
}

const ALIVE_EVERY_MS = 10_000;
/** A holder on another machine that gave no sign of life for this long is taken for dead. */
const DEAD_AFTER_MS = 60_000;

/**
 * The right to write to a file or folder, held by at most one writer, in this process or any other. It is a file
 * beside the target (`.<name>.lock`; in a folder `.lock`) that names its holder, so that the lock of a process that was
 * killed is free at once: on the same machine its number and start say that it is gone, on another one the missing
 * signs of life do, after a minute. Disposing it gives it up.
 */
export class WriterLock implements Disposable {
  readonly #file: string;
  readonly #token: string;
  readonly #alive: NodeJS.Timeout;

  private constructor(file: string, token: string) {
    this.#file = file;
    this.#token = token;
    this.#alive = setInterval(() => this.#signOfLife(), ALIVE_EVERY_MS).unref();
  }

  /**
   * Takes the lock of a file or folder; a file need not exist.
   * @throws InputError `folder-in-use` if another writer holds it, `cannot-write`
   */
  static take(target: string): WriterLock {
    try {
      return takeFile(lockFile(target), target);
    } catch (error) {
      throw cannotWrite(target, error);
    }
  }

  /** Takes the lock of that file if it is free. @returns the holder otherwise */
  static tryFile(file: string): WriterLock | Holder | undefined {
    const holder: Holder = {token: randomBytes(12).toString('hex'), pid: process.pid, ...THIS_PROCESS};
    return create(file, JSON.stringify(holder)) ? new WriterLock(file, holder.token) : readHolder(file);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#alive);
    // Taken by another machine after this process had slept: it is no longer ours to give up.
    if (readHolder(this.#file)?.token === this.#token) fs.rmSync(this.#file, {force: true});
  }

  #signOfLife(): void {
    try {
      const now = new Date();
      fs.utimesSync(this.#file, now, now);
    } catch {
      // Without it a process on another machine may take over, which the writer of rows then notices.
    }
  }
}

/**
 * Checks that nobody else has written to an open file. A lock may be lost: to a process elsewhere while this one slept,
 * or to a hand that deleted it.
 * @param size the bytes that this process knows of
 * @throws InputError `folder-in-use`
 */
export function checkUntouched(fd: number, size: number, file: string): void {
  if (fs.fstatSync(fd).size === size) return;
  throw new InputError('folder-in-use', `${file}: another process writes to it`, {
    hint: 'Give each run an output of its own.',
  });
}

/** The file of a target's lock: of the real path, since a target may have several names. */
function lockFile(target: string): string {
  const stat = fs.statSync(target, {throwIfNoEntry: false});
  if (stat?.isDirectory()) return path.join(fs.realpathSync(target), '.lock');
  const real =
    stat === undefined
      ? path.join(fs.realpathSync(path.dirname(target)), path.basename(target))
      : fs.realpathSync(target);
  return path.join(path.dirname(real), `.${path.basename(real)}.lock`);
}

function takeFile(file: string, target: string): WriterLock {
  for (;;) {
    const found = WriterLock.tryFile(file);
    if (found instanceof WriterLock) return found;
    // It was given up in between.
    if (found === undefined && !fs.existsSync(file)) continue;
    if (isAlive(found, file)) throw inUse(target, found, file);
    // Only who holds the lock on this very lock may remove it: another one may be taking over, too.
    using _ = takeFile(`${file}-${found?.token ?? 'damaged'}`, target);
    if (readHolder(file)?.token === found?.token) fs.rmSync(file, {force: true});
  }
}

/** Makes a file that appears with its content. @returns false if it is there already */
function create(file: string, content: string): boolean {
  const draft = `${file}.${process.pid}.${THIS_PROCESS.started ?? 0}.${randomBytes(6).toString('hex')}`;
  fs.writeFileSync(draft, content, {flag: 'wx'});
  try {
    fs.linkSync(draft, file);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    // A file system without links, or a process elsewhere that cleared the draft away: the content then comes an
    // instant after the name.
    try {
      fs.writeFileSync(file, content, {flag: 'wx'});
    } catch (again) {
      if (codeOf(again) === 'EEXIST') return false;
      throw again;
    }
  } finally {
    fs.rmSync(draft, {force: true});
  }
  removeDrafts(file);
  return true;
}

/** Removes what processes left that were killed while they made a lock. */
function removeDrafts(file: string): void {
  const folder = path.dirname(file);
  for (const name of fs.readdirSync(folder)) {
    if (!name.startsWith(`${path.basename(file)}.`)) continue;
    const [, pid, started] = /^\.(\d+)\.(\d+)\.[0-9a-f]+$/.exec(name.slice(path.basename(file).length)) ?? [];
    if (pid !== undefined && (startOf(Number(pid)) ?? '0') !== started)
      fs.rmSync(path.join(folder, name), {force: true});
  }
}

/** @returns undefined if there is no lock, or none that can be read */
function readHolder(file: string): Holder | undefined {
  try {
    const holder = parseJson(readTextFile(file)) as Partial<Holder> | null;
    return typeof holder?.token === 'string' && /^[0-9a-f]+$/.test(holder.token) && Number.isSafeInteger(holder.pid)
      ? (holder as Holder)
      : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(holder: Holder | undefined, file: string): boolean {
  if (holder?.machine !== THIS_PROCESS.machine) {
    const stat = fs.statSync(file, {throwIfNoEntry: false});
    return stat !== undefined && fileSystemNow(file) - stat.mtimeMs < DEAD_AFTER_MS;
  }
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
  }
  return startOf(holder.pid) === holder.started;
}

/** The time as the file system counts it, which may be another machine's. */
function fileSystemNow(file: string): number {
  const probe = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    fs.writeFileSync(probe, '', {flag: 'wx'});
    return fs.statSync(probe).mtimeMs;
  } finally {
    fs.rmSync(probe, {force: true});
  }
}

function inUse(target: string, holder: Holder | undefined, file: string): InputError {
  const who = holder === undefined ? '' : ` (process ${holder.pid} on ${holder.host})`;
  return new InputError('folder-in-use', `${target}: another process writes to it${who}`, {
    hint: `Give each run an output of its own, or wait. If that process is gone for certain, delete ${file}.`,
  });
}

const THIS_PROCESS = {started: startOf(process.pid), machine: machine(), host: os.hostname()};

/** Linux counts ticks from its start; elsewhere a number given out again keeps a lock until it is deleted. */
function startOf(pid: number): string | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name of the program, in parentheses, may hold spaces; the start is the 22nd field, the state the third.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

function machine(): string {
  try {
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${fs.readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return os.hostname();
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}
