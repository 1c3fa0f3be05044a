import {PickleMachine, type UnpickleOptions} from './pickle-machine.js';
import type {PickleValue} from './pickle-values.js';

export interface Unpickled {
  readonly value: PickleValue;
  /** The paths of classes and functions that were called for and not built, sorted. */
  readonly placeholders: readonly string[];
}

/**
 * Reads a Python pickle (protocols 0 to 5) as data. Nothing is ever executed: a class or function is a name, and a call
 * of one becomes the value of a known builder or an inert object. Work and memory are bounded by the length of the
 * bytes: one opcode a byte at most, no recursion, and no length is believed that the bytes do not hold.
 * @throws WeightsError 'damaged-pickle', or 'unsafe-pickle' where it names something that runs programs (os.system and
 *   the like)
 */
export function unpickle(bytes: Uint8Array, options: UnpickleOptions): Unpickled {
  const machine = new PickleMachine(bytes, options);
  for (let opcode = machine.input.u8(); opcode !== STOP; opcode = machine.input.u8()) {
    const operation = OPCODES.get(opcode);
    if (!operation) throw machine.error(`opcode 0x${opcode.toString(16)} is not known or not read`);
    operation(machine);
  }
  return {value: machine.pop(), placeholders: [...machine.placeholders].sort()};
}

const STOP = 0x2e;

/** The action of an opcode. */
type Operation = (m: PickleMachine) => void;

/** An operation that makes a container on the stack take the items above it. */
const into =
  (
    items: (m: PickleMachine) => PickleValue[],
    act: (m: PickleMachine, target: PickleValue, items: PickleValue[]) => void,
  ): Operation =>
  (m) => {
    const taken = items(m);
    act(m, m.peek(), taken);
  };

const marked = (m: PickleMachine): PickleValue[] => m.popMark();

/** The operations by opcode, as numbered in Python's pickletools. */
const OPCODES: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  // Protocol and frames: checked and passed over.
  [0x80, (m) => m.protocol(m.input.u8())],
  [0x95, (m) => m.input.checkLength(m.input.u64())],
  // Stack.
  [0x28, (m) => m.mark()],
  [0x30, (m) => m.drop()],
  [0x31, (m) => void m.popMark()],
  [0x32, (m) => m.pushKnown(m.peek())],
  // Constants and numbers.
  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  [0x4b, (m) => m.push(m.input.u8())],
  [0x4d, (m) => m.push(m.input.u16())],
  [0x4a, (m) => m.push(m.input.i32())],
  [0x8a, (m) => m.push(m.input.long(m.input.u8()))],
  [0x8b, (m) => m.push(m.input.long(m.input.u32()))],
  [0x47, (m) => m.push(m.input.f64())],
  [0x49, (m) => m.push(m.input.intLine())],
  [0x4c, (m) => m.push(m.input.integer(m.input.line().replace(/L$/, '')))],
  [0x46, (m) => m.push(Number(m.input.line()))],
  // Text and bytes.
  [0x53, (m) => m.push(m.input.quoted())],
  [0x56, (m) => m.push(m.input.escapedLine())],
  [0x8c, (m) => m.push(m.input.text(m.input.u8()))],
  [0x58, (m) => m.push(m.input.text(m.input.u32()))],
  [0x8d, (m) => m.push(m.input.text(m.input.u64()))],
  [0x55, (m) => m.push(m.input.latin1(m.input.u8()))],
  [0x54, (m) => m.push(m.input.latin1(m.input.u32()))],
  [0x43, (m) => m.push(m.input.take(m.input.u8()).slice())],
  [0x42, (m) => m.push(m.input.take(m.input.u32()).slice())],
  [0x8e, (m) => m.push(m.input.take(m.input.u64()).slice())],
  [0x96, (m) => m.push(m.input.take(m.input.u64()).slice())],
  // Lists, tuples, sets, dicts. A tuple is a list that nothing changes.
  [0x5d, (m) => m.push([])],
  [0x29, (m) => m.push([])],
  [0x7d, (m) => m.push(new Map())],
  [0x8f, (m) => m.push(new Set())],
  [0x6c, (m) => m.push(m.popMark())],
  [0x74, (m) => m.push(m.popMark())],
  [0x91, (m) => m.push(new Set(m.popMark()))],
  [0x64, (m) => m.dict(m.popMark())],
  [0x85, (m) => m.push(m.popMany(1))],
  [0x86, (m) => m.push(m.popMany(2))],
  [0x87, (m) => m.push(m.popMany(3))],
  [
    0x61,
    into(
      (m) => m.popMany(1),
      (m, list, items) => m.append(list, items),
    ),
  ],
  [0x65, into(marked, (m, list, items) => m.append(list, items))],
  [0x90, into(marked, (m, set, items) => m.addItems(set, items))],
  [
    0x73,
    into(
      (m) => m.popMany(2),
      (m, map, items) => m.setItems(map, items),
    ),
  ],
  [0x75, into(marked, (m, map, items) => m.setItems(map, items))],
  // Memo.
  [0x70, (m) => void m.memo.set(Number(m.input.line()), m.peek())],
  [0x71, (m) => void m.memo.set(m.input.u8(), m.peek())],
  [0x72, (m) => void m.memo.set(m.input.u32(), m.peek())],
  [0x94, (m) => void m.memo.set(m.memo.size, m.peek())],
  [0x67, (m) => m.pushKnown(m.recall(Number(m.input.line())))],
  [0x68, (m) => m.pushKnown(m.recall(m.input.u8()))],
  [0x6a, (m) => m.pushKnown(m.recall(m.input.u32()))],
  // Classes and functions: names; "calls" of them: data.
  [0x63, (m) => m.push(m.global(m.input.line(), m.input.line()))],
  [0x93, (m) => m.push(m.globalOf(m.popMany(2)))],
  [0x52, (m) => m.reduce(m.popMany(2))],
  [0x81, (m) => m.reduce(m.popMany(2))],
  [0x92, (m) => m.reduceNamed(m.popMany(3))],
  [0x69, (m) => m.push(m.build(m.global(m.input.line(), m.input.line()), m.popMark()))],
  [0x6f, (m) => m.construct(m.popMark())],
  [
    0x62,
    into(
      (m) => m.popMany(1),
      (m, target, [state]) => m.setState(target, state!),
    ),
  ],
  [0x51, (m) => m.push(m.persistent(m.pop()))],
  [0x50, (m) => m.push(m.persistent(m.input.line()))],
]);
