import fs from 'node:fs';
import path from 'node:path';

/** Contents of the files of an evaluation's folder, without milliseconds and numbers computed from them. */
export function withoutTimes(folder: string): Record<string, string> {
  const files = fs.readdirSync(folder, {withFileTypes: true}).filter((entry) => entry.isFile());
  return Object.fromEntries(files.map(({name}) => [name, strip(fs.readFileSync(path.join(folder, name), 'utf8'))]));
}

/** Times come last in a row and in metrics.json, so that everything before them can be compared byte by byte. */
function strip(text: string): string {
  return text.replace(/,"ms":\{[^}]*\}\}$/gm, '}').replace(/,\n {2}"ms": \{[\s\S]*$/, '');
}
