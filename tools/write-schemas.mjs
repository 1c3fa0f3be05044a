// Writes the JSON Schemas of the published formats to dist/schemas, one file each; a part of `npm run build`.
import fs from 'node:fs';
import {publishedSchemas} from '../dist/cli/schemas/published.js';

const folder = new URL('../dist/schemas/', import.meta.url);
fs.rmSync(folder, {recursive: true, force: true});
fs.mkdirSync(folder);
for (const [name, schema] of Object.entries(publishedSchemas()))
  fs.writeFileSync(new URL(`${name}.json`, folder), `${JSON.stringify(schema, null, 2)}\n`);
