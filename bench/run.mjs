// npm run bench -- <name> …: strips the types of bench/*.ts into .bench/, where `../src/x.js` is `../dist/x.js`, and
// runs it. It measures dist, the code that ships (`npm run bench` builds it first).
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const out = path.join(root, '.bench');
fs.rmSync(out, {recursive: true, force: true});
const compilerOptions = {target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true};
for (const name of fs.readdirSync(path.join(root, 'bench'), {recursive: true}).filter((file) => file.endsWith('.ts'))) {
  const source = fs
    .readFileSync(path.join(root, 'bench', name), 'utf8')
    .replaceAll(/((?:from|import\()\s*'(?:\.\.\/)+)src\//g, '$1dist/');
  const {outputText} = ts.transpileModule(source, {compilerOptions, fileName: name});
  const file = path.join(out, name.replace(/\.ts$/, '.js'));
  fs.mkdirSync(path.dirname(file), {recursive: true});
  fs.writeFileSync(file, outputText);
}
await import('../dist/runtime/dispose-symbol.js');
await import('../.bench/main.js');
