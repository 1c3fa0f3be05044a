import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const WEIGHTS = fileURLToPath(new URL('../../../weights/', import.meta.url));

/** Models that ship with the package, by name. */
export const SHIPPED_MODELS = ['scenes-mue', 'scenes-coca'] as const;
export type ShippedModel = (typeof SHIPPED_MODELS)[number];

/** The folder of a shipped model. */
export function shippedFolder(name: ShippedModel): string {
  return path.join(WEIGHTS, name);
}

/** The folder that is meant: that of a shipped model by its name, or any other, as it is. A folder that exists wins. */
export function modelFolder(model: string): string {
  const shipped = SHIPPED_MODELS.find((name) => name === model);
  return shipped === undefined || fs.existsSync(model) ? model : shippedFolder(shipped);
}
