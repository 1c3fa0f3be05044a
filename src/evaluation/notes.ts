import type {DatasetTask} from '../data/dataset.js';
import type {EvaluationRow} from './row.js';

/** Ids that a note names. */
const SHOWN = 3;

/**
 * Oddities of a data set that make its scores say less than they seem to, one sentence each.
 * @param rows     all rows of the run
 * @param labelled those that the data says something about
 */
export function dataNotes(
  task: DatasetTask,
  rows: readonly EvaluationRow[],
  labelled: readonly EvaluationRow[],
): string[] {
  const notes: string[] = [];
  const ids = repeated(rows.map(({id}) => id));
  if (ids.length > 0)
    notes.push(`${count(ids.length, 'id')} of rows ${ids.length === 1 ? 'is' : 'are'} not unique: ${listed(ids)}`);
  const unlabelled = rows.length - labelled.length;
  if (labelled.length > 0 && unlabelled > 0)
    notes.push(`${unlabelled} of ${rows.length} rows have no ${LABELS[task]}: they count in no score`);
  if (task !== 'caption' || labelled.length === 0) return notes;
  const pictures = labelled.map(({image_id}) => image_id);
  const several = repeated(pictures);
  if (several.length > 0)
    notes.push(
      `${count(several.length, 'picture')} ${several.length === 1 ? 'has' : 'have'} several rows (${listed(several)}): each row is scored by its own references alone; all references of a picture belong into one row`,
    );
  if (new Set(pictures).size === 1)
    notes.push('CIDEr-D weighs words by how few of the pictures have them: with one picture it is 0');
  return notes;
}

const LABELS: Readonly<Record<DatasetTask, string>> = {caption: 'references', 'snli-ve': 'label', vqa: 'answers'};

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).map((name) => name.slice(0, 40));
  return `${shown.join(', ')}${names.length > SHOWN ? ', …' : ''}`;
}

/** The names that come more than once, each once. */
function repeated(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return [...new Set(names.filter((name) => seen.size === seen.add(name).size))];
}
