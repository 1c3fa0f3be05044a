// Every type of this project that a public signature mentions must be exported from an entry point, so that a caller
// can name it. Reads the declarations in dist (`npm run build`), in which inferred types are written out; prints the
// missing types with the export that mentions them, and exits with 1 if there are any.
import {dirname, join, relative, sep} from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';

const DIST = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist');
const TYPES = ts.SymbolFlags.Class | ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias | ts.SymbolFlags.Enum;

const program = ts.createProgram(
  ['index.d.ts', 'node.d.ts'].map((name) => join(DIST, name)),
  {module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022, skipLibCheck: true, noEmit: true},
);
const checker = program.getTypeChecker();
const exported = new Set(program.getRootFileNames().flatMap(exportsOf));

/** The missing types, each with the first export that mentions it. @type {Map<string, string>} */
const missing = new Map();
for (const symbol of exported) for (const declaration of symbol.declarations ?? []) walk(declaration, symbol.name);
for (const [type, owner] of [...missing].sort()) console.log(`${type} (mentioned by ${owner}) is not exported`);
if (missing.size > 0) process.exitCode = 1;
else console.log(`every type that the ${exported.size} public exports mention is exported`);

/**
 * The symbols that an entry point exports, each as the file declares it.
 * @param {string} file
 */
function exportsOf(file) {
  const source = program.getSourceFile(file);
  const module = source && checker.getSymbolAtLocation(source);
  if (!module) throw new Error(`${file} is missing: run \`npm run build\` first`);
  return checker.getExportsOfModule(module).map(declared);
}

/**
 * The symbol behind an import or an export.
 * @param {ts.Symbol} symbol
 */
function declared(symbol) {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/**
 * Walks a declaration; private members have no types in one.
 * @param {ts.Node} node
 * @param {string} owner the export that it belongs to
 */
function walk(node, owner) {
  if (ts.isIdentifier(node)) note(node, owner);
  ts.forEachChild(node, (child) => walk(child, owner));
}

/**
 * Notes the type that an identifier names, if a file of this project declares it and no entry point exports it.
 * @param {ts.Identifier} name
 * @param {string} owner
 */
function note(name, owner) {
  const symbol = checker.getSymbolAtLocation(name);
  const type = symbol && declared(symbol);
  if (!type || !(type.flags & TYPES) || exported.has(type)) return;
  const file = type.declarations?.[0]?.getSourceFile().fileName;
  if (file?.startsWith(DIST + sep)) missing.set(`${relative(DIST, file)}: ${type.name}`, owner);
}
