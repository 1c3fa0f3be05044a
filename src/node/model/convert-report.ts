import type {ModelConfig} from '../../models/family.js';
import type {FileRecord} from './model-folder.js';

/** The result of a conversion: the fate of each tensor of the source, and the origin of each weight of the model. */
export interface ConvertReport {
  readonly input: string;
  readonly output: string;
  readonly format: 'torch' | 'safetensors';
  /** The weights of a training checkpoint that were taken: the model's, or their moving average. */
  readonly weights: 'model' | 'ema';
  readonly source: readonly FileRecord[];
  /** The model in one line. */
  readonly model: string;
  readonly config: ModelConfig;
  readonly dtype: 'float16' | 'float32';
  /** Tied weights count once. */
  readonly parameters: number;
  /** The weights of the model, by name, with the tensors of the source that they are. */
  readonly used: readonly {
    readonly name: string;
    readonly source: string;
    readonly dtype: string;
    readonly shape: readonly number[];
  }[];
  readonly ignored: readonly {readonly name: string; readonly reason: string}[];
  /** Weights that the source lacks, with the neutral value that stands in for them. */
  readonly filled: readonly {readonly name: string; readonly value: 0 | 1}[];
  readonly notes: readonly string[];
  readonly vocabulary: {
    readonly origin: string;
    readonly bpeOrigin: string;
    readonly lines: number;
    readonly ids: number;
  };
  readonly files: readonly FileRecord[];
}

const thousands = (n: number): string => n.toLocaleString('en-US');
const megabytes = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

/** The report as text. */
export function formatReport(report: ConvertReport): string {
  const reasons = new Map<string, number>();
  for (const {reason} of report.ignored) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const bytes = report.files.reduce((sum, file) => sum + file.bytes, 0);
  const {origin, bpeOrigin, lines, ids} = report.vocabulary;
  return [
    `${report.input} → ${report.output}`,
    `  model       ${report.model}`,
    `  parameters  ${thousands(report.parameters)}, stored as ${report.dtype}`,
    `  source      ${report.format}, ${report.weights === 'ema' ? 'moving average (EMA), ' : ''}${megabytes(report.source.reduce((sum, file) => sum + file.bytes, 0))}`,
    `  used        ${report.used.length} tensors`,
    `  ignored     ${report.ignored.length} tensors`,
    ...[...reasons].map(([reason, count]) => `                ${count} × ${reason}`),
    `  missing     ${report.filled.length === 0 ? 'none' : `${report.filled.length}, replaced by their neutral value`}`,
    ...report.filled.map(({name, value}) => `                ${name} = ${value}`),
    `  vocabulary  ${origin} (${thousands(lines)} lines, ${thousands(ids)} ids)${bpeOrigin === origin ? '' : `, BPE files ${bpeOrigin}`}`,
    `  written     ${report.files.length} files, ${megabytes(bytes)}`,
    ...report.notes.map((note) => `  note: ${note}`),
  ].join('\n');
}
