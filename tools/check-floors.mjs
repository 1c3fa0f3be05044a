// Proves that the source is built in floors: a file imports from its own folder and from lower floors, never up, never
// sideways. One sentence a violation; exit code 1 if there is any.
import fs from 'node:fs';
import path from 'node:path';

const FLOORS = [
  ['runtime'],
  ['nn', 'checkpoint', 'data'],
  ['exit'],
  ['models'],
  ['generation'],
  ['metrics'],
  ['tasks'],
  ['calibration'],
  ['node'],
  ['cli'],
];
// index.ts is the table of contents of everything that runs anywhere; node.ts adds the platform.
const ENTRY = {'index.ts': 'calibration', 'node.ts': 'node'};
const floorOf = Object.fromEntries(FLOORS.flatMap((names, floor) => names.map((name) => [name, floor])));
const FAMILY_FREE = ['nn', 'exit', 'generation', 'calibration'];
const PLATFORM = /^(node:|@tensorflow\/tfjs-backend|@tensorflow\/tfjs-node|onnxruntime-node|webgpu$)/;

const root = path.resolve(process.argv[2] ?? 'src');
const files = fs
  .readdirSync(root, {recursive: true, withFileTypes: true})
  .filter((e) => e.isFile() && e.name.endsWith('.ts'))
  .map((e) => path.relative(root, path.join(e.parentPath, e.name)));
const problems = [];
for (const file of files) {
  const text = fs.readFileSync(path.join(root, file), 'utf8');
  const top = file.includes(path.sep) ? file.split(path.sep)[0] : ENTRY[file];
  if (floorOf[top] === undefined) {
    problems.push(`${file} stands on no floor.`);
    continue;
  }
  for (const [, spec] of text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
    if (!spec.startsWith('.')) {
      if (PLATFORM.test(spec) && !['node', 'cli'].includes(top))
        problems.push(`${file} imports ${spec}, but only src/node, src/node.ts and src/cli touch the platform.`);
      continue;
    }
    const target = path.relative(root, path.resolve(root, path.dirname(file), spec));
    const to = target.includes(path.sep) ? target.split(path.sep)[0] : ENTRY[target.replace(/\.js$/, '.ts')];
    if (floorOf[to] === undefined) problems.push(`${file} imports ${spec}, which stands on no floor.`);
    else if (to !== top && floorOf[to] >= floorOf[top])
      problems.push(`${file} (floor ${floorOf[top]}, ${top}) imports ${target} (floor ${floorOf[to]}, ${to}): up or sideways.`);
    const families = [top, to].every((x) => x === 'models')
      ? [file, target]
          .map((f) => f.split(path.sep))
          .filter((p) => p.length > 2)
          .map((p) => p[1])
      : [];
    if (families.length === 2 && families[0] !== families[1])
      problems.push(`${file} imports ${target}: model families share no code with each other.`);
  }
  if (FAMILY_FREE.includes(top) && file.includes(path.sep) && /\b(ofa|coca)\b/i.test(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')))
    problems.push(`${file} names a model family, but ${top} serves them all.`);
}
for (const problem of problems) console.error(problem);
console.log(`${files.length} files, ${problems.length} violations of the floors`);
process.exitCode = problems.length ? 1 : 0;
