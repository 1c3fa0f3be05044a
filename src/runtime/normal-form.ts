// Normalising a run of n marks out of order takes O(n²) time inside the engine.
const LONG_RUN = /\p{M}{64,}/gu;

/** A text in Unicode's normal form C, in O(n log n) time also where a million marks stand on one letter. */
export function normalFormC(text: string): string {
  return text.replace(LONG_RUN, inOrder).normalize('NFC');
}

/** The same marks in canonical order: by class, marks of one class as they stand. */
function inOrder(run: string): string {
  const marks = Array.from(run).flatMap((mark) => Array.from(mark.normalize('NFD')));
  const ranks = new Map<string, number>();
  const distinct = [...new Set(marks)].filter((mark) => !isStarter(mark)).sort(byClass);
  distinct.forEach((mark, i) => {
    const before = distinct[i - 1];
    ranks.set(mark, before === undefined ? 0 : ranks.get(before)! + Number(byClass(before, mark) !== 0));
  });
  const ordered: string[] = [];
  let movable: string[] = [];
  const settle = (): void => {
    for (const mark of movable.sort((a, b) => ranks.get(a)! - ranks.get(b)!)) ordered.push(mark);
    movable = [];
  };
  for (const mark of marks) {
    if (ranks.has(mark)) movable.push(mark);
    else {
      settle();
      ordered.push(mark);
    }
  }
  settle();
  return ordered.join('');
}

/** Whether a mark has class 0: none changes places with it, neither U+0334 (class 1) nor U+0345 (class 240). */
function isStarter(mark: string): boolean {
  return !swaps(mark, '\u0334') && !swaps('\u0345', mark);
}

function byClass(a: string, b: string): number {
  return Number(swaps(a, b)) - Number(swaps(b, a));
}

function swaps(a: string, b: string): boolean {
  return (a + b).normalize('NFD') !== a + b;
}
