import * as tf from '@tensorflow/tfjs';
import * as library from '../../src/index.js';
import * as node from '../../src/node.js';
import {wrongArguments} from '../support/wrong-values.js';

// Every function, class and static method that the package exports, called as plain JavaScript may call it. The lists
// are read from the modules: what is exported tomorrow is called, too.

type Callable = (...args: readonly unknown[]) => unknown;

const exported = Object.entries({...library, ...node} as Readonly<Record<string, unknown>>);
const isClass = (value: unknown): boolean =>
  typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value));
const isError = (value: unknown): boolean =>
  typeof value === 'function' && (value === Error || value.prototype instanceof Error);

/** Calls by name; errors apart, which people may make of anything. */
const CALLS: readonly (readonly [name: string, call: Callable])[] = exported
  .filter(([, value]) => typeof value === 'function' && !isError(value))
  .flatMap(([name, value]): readonly (readonly [name: string, call: Callable])[] => {
    const callable = value as Callable & (new (...args: readonly unknown[]) => unknown);
    if (!isClass(value)) return [[name, callable] as const];
    const own = Object.getOwnPropertyNames(value).filter(
      (key) => typeof (callable as unknown as Record<string, unknown>)[key] === 'function',
    );
    return [
      [`new ${name}`, (...args: readonly unknown[]) => new callable(...args)] as const,
      ...own.map(
        (key) =>
          [
            `${name}.${key}`,
            (...args: readonly unknown[]) => (callable as unknown as Record<string, Callable>)[key]!(...args),
          ] as const,
      ),
    ];
  });

/** What a call did that it should not: undefined for an answer and for an error of the package. */
async function rawError(call: Callable, args: readonly unknown[]): Promise<string | undefined> {
  let made: unknown;
  try {
    made = call(...args);
    // A generator does nothing before it is asked.
    if (typeof made === 'object' && made !== null && Symbol.asyncIterator in made)
      for await (const _ of made as AsyncIterable<unknown>) break;
    made = await made;
  } catch (error) {
    return error instanceof library.MueError ? undefined : String(error);
  } finally {
    if (typeof made === 'object' && made !== null && Symbol.dispose in made)
      try {
        (made as Disposable)[Symbol.dispose]();
      } catch {
        // Made of objects that cannot be disposed.
      }
  }
  return undefined;
}

beforeAll(() => tf.setBackend('cpu'));

test('the exports hold functions, classes and their static methods', () => {
  const names = CALLS.map(([name]) => name);
  expect(names).toEqual(expect.arrayContaining(['loadModel', 'new Tokenizer', 'OfaModel.load', 'Trainer.open']));
});

test.each(CALLS)('%s: wrong values are errors of this package, and leave no tensor', async (_name, call) => {
  const before = tf.memory().numTensors;
  const raw: string[] = [];
  for (const [what, args] of wrongArguments(4)) {
    // Without a name `loadModel` loads the shipped model, which takes seconds: a right call, as far as this goes.
    if (call === node.loadModel && args[0] === undefined && (args[1] === undefined || typeof args[1] === 'object'))
      continue;
    const error = await rawError(call, args);
    if (error !== undefined) raw.push(`${what}: ${error}`);
  }
  expect(raw).toEqual([]);
  expect(tf.memory().numTensors).toBe(before);
});
