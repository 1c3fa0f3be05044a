// No folder of source becomes a pile: at most 18 files stand in one, goldens and fixtures apart.
import fs from 'node:fs';
import path from 'node:path';

const MOST = 18;
const SOURCE = /[.](ts|mjs|js|py|c|cc|h|sh)$/;
const DATA = /^test\/(fixtures|golden|golden-coca)(\/|$)/;

const root = path.resolve(process.argv[2] ?? '.');
const counts = new Map();
for (const room of ['src', 'test', 'bench', 'tools'])
  for (const entry of fs.readdirSync(path.join(root, room), {recursive: true, withFileTypes: true})) {
    const folder = path.relative(root, entry.parentPath);
    if (entry.isFile() && SOURCE.test(entry.name) && !DATA.test(folder))
      counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
const piles = [...counts].filter(([, files]) => files > MOST);
for (const [folder, files] of piles) console.error(`${folder} has ${files} files; a room has at most ${MOST}.`);
console.log(`${counts.size} folders, the fullest with ${Math.max(...counts.values())} files`);
process.exitCode = piles.length > 0 ? 1 : 0;
