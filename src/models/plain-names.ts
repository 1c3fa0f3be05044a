/** The most wrappers around a model: `module._orig_mod.model.` is three. */
const MOST_WRAPPERS = 8;

/**
 * Takes away what wrappers of a model (DataParallel, `torch.compile`, a trainer's module) put before every name, such as
 * `module.` or `_orig_mod.`, whatever it is called.
 * @param recognises whether names are those of a family of models
 * @returns          the names in the file by the plain ones; undefined where names are of another model anyhow
 */
export function plainNames(
  names: readonly string[],
  recognises: (names: readonly string[]) => boolean,
): ReadonlyMap<string, string> | undefined {
  let plain = names;
  for (let wrappers = 0; wrappers <= MOST_WRAPPERS; wrappers++) {
    if (recognises(plain)) return new Map(plain.map((name, i) => [name, names[i]!]));
    const first = plain[0]?.slice(0, plain[0].indexOf('.') + 1) ?? '';
    if (first === '' || !plain.every((name) => name.startsWith(first))) return undefined;
    plain = plain.map((name) => name.slice(first.length));
  }
  return undefined;
}
