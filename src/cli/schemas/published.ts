import {z} from 'zod';
import {captionHeaderSchema, captionRowSchema} from '../../calibration/recording/caption.js';
import {recordingHeaderSchema, recordingRowSchema} from '../../calibration/recording/entailment.js';
import {sweepSchema} from '../../calibration/sweep/file.js';
import {evaluationRowSchema} from '../../evaluation/row.js';
import {exitPlanSchema, exitPlansSchema} from '../../exit/plan/schema.js';
import {runSchema} from '../../node/runs/run-file.js';
import {schemaName} from '../../runtime/schema-name.js';
import {answerSchema, classifiedSchema, entailmentSchema, outputOf} from './answers.js';
import {embeddingSchema, foundSchema, recallSchema} from './embeddings.js';
import {explanationSchema} from './explanation.js';
import {configSchema, conversionSchema, doctorSchema, exportedSchema, inspectionSchema} from './models.js';
import {adapterReportSchema, comparisonSchema, metricsSchema} from './runs.js';

/** Every published format: files, which may name it as `$schema`, and the outputs of commands with --json. */
const PUBLISHED = {
  'exit-plan': ['An exit plan: --exit plan.json', exitPlanSchema],
  'exit-plans': ['exit.json of a model folder: plans by task', exitPlansSchema],
  config: ['config.json of a model folder', configSchema],
  predictions: ['A line of predictions.jsonl', evaluationRowSchema],
  run: ['run.json of a folder of mue evaluate or mue merge', runSchema],
  metrics: ['metrics.json; mue evaluate --json, mue merge --json', metricsSchema],
  recording: [
    'A line of a recording of entailments: the first is its header',
    z.union([recordingHeaderSchema, recordingRowSchema]),
  ],
  'caption-recording': [
    'A line of a recording of captions: the first is its header',
    z.union([captionHeaderSchema, captionRowSchema]),
  ],
  sweep: ['sweep.json, as mue report reads it', sweepSchema],
  answer: ['mue caption, ask, prompt --json', outputOf(answerSchema)],
  entailment: ['mue entail --json', outputOf(entailmentSchema)],
  classification: ['mue classify --json', outputOf(classifiedSchema)],
  embedding: ['A line of mue embed', embeddingSchema],
  retrieval: ['A line of mue retrieve --embeddings --json', foundSchema],
  recall: ['mue retrieve --data --json', recallSchema],
  comparison: ['mue compare --json', comparisonSchema],
  conversion: ['mue convert --json', conversionSchema],
  inspection: ['mue inspect --json', inspectionSchema],
  export: ['mue data --json', exportedSchema],
  doctor: ['mue doctor --json', doctorSchema],
  explanation: ['mue explain --json', explanationSchema],
  'exit-adapters-report': ['mue train exits --json', adapterReportSchema],
} as const satisfies Readonly<Record<string, readonly [title: string, schema: z.ZodType]>>;

/** The JSON Schemas (draft 2020-12) of all published formats, by name. */
export function publishedSchemas(): Readonly<Record<string, object>> {
  return Object.fromEntries(
    Object.entries(PUBLISHED).map(([name, [title, schema]]) => {
      // Input: what a file may lack, such as a mode that has a default, is not required.
      const json = z.toJSONSchema(schema, {io: 'input', unrepresentable: 'any'});
      for (const object of [json, ...(json.oneOf ?? [])])
        if (NAMED_IN_FILES.has(name) && object.properties) object.properties.$schema = {type: 'string'};
      return [name, {$id: schemaName(name), title, ...json}];
    }),
  );
}

/** Formats of files, whose readers take `$schema` off (`withoutSchemaName`). */
const NAMED_IN_FILES: ReadonlySet<string> = new Set(['exit-plan', 'exit-plans', 'config', 'metrics']);
