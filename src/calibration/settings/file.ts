import {z} from 'zod';
import {UsageError} from '../../runtime/errors.js';
import {type PolicySetting, settingSchema} from '../policy-setting.js';
import {parseJson} from '../../runtime/parse-json.js';

const threshold = z.number().nullable();
const listSchema = z.union([z.tuple([threshold, threshold, threshold]), z.tuple([threshold, threshold])]);
const fileSchema = z.object({points: z.array(z.union([listSchema, settingSchema])).min(1)});

/** The file of some settings, each once. */
export function settingsText(points: readonly PolicySetting[]): string {
  return `${JSON.stringify({format: 'mue-settings', version: 1, points: [...new Set(points)]}, null, 1)}\n`;
}

/**
 * Settings that were chosen before, on other data: `{"points": […]}`, as sweeps write it, or with lists of similarity
 * thresholds `[image, text, decoder]`, of two stacks `[image, decoder]`. Further fields of a point are ignored.
 * @throws UsageError `settings-invalid`
 */
export function parseSettings(text: string, source: string): PolicySetting[] {
  const fail = (why: string): never => {
    throw new UsageError('settings-invalid', `${source} holds no thresholds: ${why}`, {
      hint: 'Wanted is {"points": [[image, text, decoder], …]}, or the sweep.json, front.json or chosen.json of another sweep.',
    });
  };
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    return fail((error as Error).message);
  }
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success)
    return fail(
      parsed.error.issues.map(({path, message}) => `${path.join('.') || 'top level'}: ${message}`).join('; '),
    );
  return parsed.data.points.map((point): PolicySetting => {
    if (!('policy' in point)) {
      const similarity = {encoder: 'similarity', policy: 'similarity'} as const;
      if (point.length === 2) return {...similarity, image: point[0], decoder: point[1]};
      const [image, words, decoder] = point;
      return {...similarity, image, text: words, decoder};
    }
    if (point.policy === 'quantile-budget' && point.thresholds === undefined)
      fail("a 'quantile-budget' needs a threshold a layer");
    return point;
  });
}
