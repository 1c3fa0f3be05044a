// Completes package-lock.json after a change of dependencies.
//
// `npm install` leaves out the optional packages of other platforms when the registry at hand does not carry them
// (darwin and win32 builds of swc, biome, jest's resolver …); `npm ci` then refuses the lock file. This adds the
// missing entries by name, version, os and cpu. Usage: npm install … && node tools/complete-lock.mjs
import fs from 'node:fs';

const PLATFORM =
  /(android|darwin|freebsd|linux|win32|openharmony|aix|sunos|netbsd|openbsd)-(arm64|x64|ia32|arm|ppc64|riscv64|s390x|loong64|wasm32)?/;
const lock = JSON.parse(fs.readFileSync('package-lock.json', 'utf8'));

/**
 * Whether a package, required from a folder, is found on the way up, as Node resolves it.
 * @param {string} path of the folder in the lock file
 * @param {string} name
 */
function resolves(path, name) {
  for (let dir = path; ; ) {
    if (lock.packages[`${dir ? `${dir}/` : ''}node_modules/${name}`]) return true;
    if (!dir) return false;
    const up = dir.lastIndexOf('/node_modules/');
    dir = up < 0 ? '' : dir.slice(0, up);
  }
}

let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (resolves(path, name)) continue;
    const [, os, cpu] = name.match(PLATFORM) ?? [];
    lock.packages[`node_modules/${name}`] = {
      version,
      optional: true,
      ...(entry.dev ? {dev: true} : {}),
      ...(os ? {os: [os]} : {}),
      ...(cpu ? {cpu: [cpu]} : {}),
    };
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
fs.writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
console.error(`package-lock.json: ${added} entries added`);
