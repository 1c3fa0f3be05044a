/** Values that fit no public call, by what messages may call them. Made anew for every call: some are consumed. */
export function wrongValues(): Readonly<Record<string, unknown>> {
  return {
    undefined: undefined,
    null: null,
    zero: 0,
    'a negative number': -1,
    NaN: Number.NaN,
    Infinity: Number.POSITIVE_INFINITY,
    'a bigint': 10n,
    true: true,
    'a symbol': Symbol('s'),
    'an empty text': '',
    'the name of an object property': 'constructor',
    'a text with a zero character': 'nul\0character',
    'an empty object': {},
    'an object without a prototype': Object.create(null) as unknown,
    'an object with __proto__ as a key': JSON.parse('{"__proto__": null}') as unknown,
    'an empty array': [],
    'an array of null': [null],
    'an empty Float32Array': new Float32Array(),
    'a URL': new URL('file:///absent'),
    'a promise': Promise.resolve(),
    'a function': () => undefined,
  };
}

/** Lists of arguments: none, each value in one of the first places and right or wrong ones around it, all alike. */
export function wrongArguments(places: number): ReadonlyMap<string, readonly unknown[]> {
  const lists = new Map<string, readonly unknown[]>([['nothing', []]]);
  for (const [name, value] of Object.entries(wrongValues()))
    for (let place = 0; place < places; place++) {
      // An object is what gets furthest in most places.
      const others = Array.from({length: places}, (): unknown => ({}));
      lists.set(`${name}, argument ${place + 1} of ${places}`, others.with(place, value));
      lists.set(`${name}, alone in place ${place + 1}`, [...new Array<undefined>(place), value]);
    }
  return lists;
}
