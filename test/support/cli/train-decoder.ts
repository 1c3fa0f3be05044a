import fs from 'node:fs';
import path from 'node:path';
import {microFolder} from '../models/micro-folder.js';
import {runMue} from './run-mue.js';

/** A micro model in a folder, and four rows that its decoder can learn by heart. */
export interface TrainDecoder {
  readonly model: string;
  /** The rows as lines of a file. */
  readonly rows: string;
  /** Runs `mue train` on them with further options. */
  readonly train: (...options: string[]) => ReturnType<typeof runMue>;
}

/** Writes model and rows into a folder; the rows are its `rows.jsonl`. */
export async function trainDecoderIn(root: string): Promise<TrainDecoder> {
  const model = await microFolder(root);
  const lines = fs.readFileSync('data/scenes/snli-ve-calibration.jsonl', 'utf8').split('\n').slice(0, 4);
  const rows = `${lines.join('\n')}\n`;
  const data = path.join(root, 'rows.jsonl');
  fs.writeFileSync(data, rows);
  const given = ['train', model, '--task', 'snli-ve', '--data', data, '--images', 'data/scenes'];
  return {model, rows, train: (...options) => runMue([...given, ...options])};
}
