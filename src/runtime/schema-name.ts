/**
 * The `$id` of a published JSON Schema, which the files of that format give as their `$schema`: the path by which the
 * package exports it.
 */
export function schemaName(format: string): string {
  return `mue-tfjs/schemas/${format}.json`;
}

/** A value read from a file, without the name of its format. */
export function withoutSchemaName(json: unknown): unknown {
  if (typeof json !== 'object' || json === null || !('$schema' in json)) return json;
  const {$schema: _, ...rest} = json;
  return rest;
}
