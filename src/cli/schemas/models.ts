import {z} from 'zod';
import {DTYPE_BYTES, type DType} from '../../checkpoint/dtype.js';
import {cocaConfigSchema} from '../../models/coca/config.js';
import {ofaConfigSchema} from '../../models/ofa/config.js';
import type {DoctorReport} from '../../node/backends/doctor.js';
import {DEVICES} from '../../runtime/devices.js';
import type {ConvertReport} from '../../node/model/convert-report.js';
import type {Inspection} from '../../node/model/inspect.js';

const count = z.number().int().min(0);
const shape = z.array(count);
const file = z.strictObject({name: z.string(), bytes: count, sha256: z.string()});

/** config.json of a model folder, of any family. */
export const configSchema = z.discriminatedUnion('family', [ofaConfigSchema, cocaConfigSchema]);

/** Output of `mue inspect --json`. */
export const inspectionSchema = z.strictObject({
  path: z.string(),
  kind: z.enum(['model', 'checkpoint']),
  format: z.enum(['torch', 'safetensors']),
  /** Null where the tensors are no model of a known family; `problem` says why. */
  config: configSchema.nullable(),
  model: z.string().nullable(),
  problem: z.string().nullable(),
  parameters: count,
  parts: z.array(z.strictObject({part: z.string(), parameters: count})),
  tensors: z.array(z.strictObject({name: z.string(), dtype: z.enum(Object.keys(DTYPE_BYTES) as DType[]), shape})),
  notes: z.array(z.string()),
}) satisfies z.ZodType<Inspection>;

/** Output of `mue convert --json`. */
export const conversionSchema = z.strictObject({
  input: z.string(),
  output: z.string(),
  format: z.enum(['torch', 'safetensors']),
  weights: z.enum(['model', 'ema']),
  source: z.array(file),
  model: z.string(),
  config: configSchema,
  dtype: z.enum(['float16', 'float32']),
  parameters: count,
  used: z.array(z.strictObject({name: z.string(), source: z.string(), dtype: z.string(), shape})),
  ignored: z.array(z.strictObject({name: z.string(), reason: z.string()})),
  filled: z.array(z.strictObject({name: z.string(), value: z.literal([0, 1])})),
  notes: z.array(z.string()),
  vocabulary: z.strictObject({origin: z.string(), bpeOrigin: z.string(), lines: count, ids: count}),
  files: z.array(file),
}) satisfies z.ZodType<ConvertReport>;

/** Output of `mue data --json`: what was written, by data set. */
export const exportedSchema = z.strictObject({
  sets: z.record(z.string(), z.strictObject({rows: count, pictures: count, bytes: count})),
  /** Rows that could not be read. */
  skipped: count,
});

const device = z.enum(DEVICES).exclude(['auto']);

/** Output of `mue doctor --json`. */
export const doctorSchema = z.strictObject({
  node: z.string(),
  platform: z.string(),
  cpu: z.string(),
  cores: count,
  memoryGiB: z.number(),
  remarks: z.array(z.string()),
  devices: z.array(
    z.strictObject({
      device,
      ok: z.boolean(),
      backend: z.string().optional(),
      threads: count.optional(),
      note: z.string().optional(),
      /** Why it cannot run here, and the command that changes that. */
      reason: z.string().optional(),
      hint: z.string().optional(),
      bench: z
        .strictObject({
          matMulMs: z.number(),
          matMulGflops: z.number(),
          convMs: z.number(),
          convGflops: z.number(),
          opMicros: z.number(),
        })
        .optional(),
    }),
  ),
  /** The device that `--device auto` takes; absent where nothing works. */
  auto: device.optional(),
  seconds: z.number(),
}) satisfies z.ZodType<DoctorReport>;
