import type {PlanCertificate} from '../../calibration/risk/certificate.js';
import type {CoverageCheck} from '../../calibration/risk/coverage-check.js';
import {layersText, settingText} from '../../calibration/sweep/text.js';
import {InputError} from '../../runtime/errors.js';
import {shortPercent} from '../../text/format.js';

/** The error of a calibration that chose nothing: how far off it is, and how many items would do. */
export function nothingChosen({alpha, n2, itemsNeeded, unit, tested, budget, delta}: PlanCertificate): InputError {
  if (budget !== null)
    return new InputError('nothing-within-budget', `no candidate costs at most ${budget.most} ${budget.cost}`, {
      hint:
        'Even the shallowest exits cost more: allow more, and mind that the picture encoder before the layers ' +
        'never exits.',
    });
  const safest = tested[0];
  const share = shortPercent(alpha ?? 0);
  const seen =
    safest === undefined
      ? ''
      : ` (the safest candidate errs on ${shortPercent(safest.risk)} of the ${n2} ${unit}s that test it, ` +
        `p = ${safest.pValue?.toPrecision(3)})`;
  const hint =
    itemsNeeded === null
      ? 'No number of items would do, were its risk what it is here: allow a larger drop.'
      : `With that risk the test needs about ${itemsNeeded} ${unit}s, hence a recording of ${2 * itemsNeeded}; or allow a larger drop.`;
  return new InputError(
    'nothing-certified',
    `nothing can be certified to lose at most ${share} with ${shortPercent(1 - delta)} confidence${seen}`,
    {hint},
  );
}

/** The chosen setting and what is promised and expected of it, for people. */
export function* certificateText({
  chosen,
  expected,
  tested,
  alpha,
  delta,
  n1,
  n2,
  unit,
  riskUpperBound,
  risk,
  candidates,
  assumptions,
  ms,
}: PlanCertificate): Generator<string> {
  const name = risk === 'consistency' ? 'other answers than full depth' : 'right answers lost';
  yield `chosen of ${candidates}: ${settingText(chosen!.setting)}`;
  if (alpha !== null)
    yield `certified: ${name} at most ${shortPercent(alpha)}, except with probability ${delta} ` +
      `(p = ${chosen!.pValue!.toPrecision(3)}, ${tested.length} tested in sequence; ${n1} ${unit}s chose, ${n2} tested)`;
  yield `seen in the test: ${shortPercent(chosen!.risk)}; upper bound by itself ${shortPercent(riskUpperBound!)}`;
  const {layers, etr, macs, accuracy, retention} = expected!;
  yield `expected: accuracy ${accuracy.toFixed(4)} (${shortPercent(retention)} of full depth), layers ${layersText(layers)}, ` +
    `saves ${shortPercent(etr)} of layers, ${shortPercent(macs.saved)} of MACs; ` +
    `${millisecondsText(ms)}measure wall-clock with \`mue evaluate\``;
  yield assumptions;
}

function millisecondsText(ms: PlanCertificate['ms']): string {
  if (ms === null || ms.expected === null) return '';
  const {rows, explained} = ms.layers;
  return `${ms.expected.toFixed(0)} ms by a fit to ${rows} timed rows (explains ${shortPercent(explained)}); `;
}

/** How often the promise was broken on samples, on one line. */
export function coverageText(check: CoverageCheck, unit: PlanCertificate['unit']): string {
  const {samples, n, pool, violations, alpha, rate, limit, kept, certified, meanCost} = check;
  return (
    `promise: of ${samples} calibrations on ${n} drawn of ${pool} ${unit}s, ${violations} chose a plan with a risk ` +
    `above ${shortPercent(alpha)}: ${shortPercent(rate)}, at most ${shortPercent(limit)} allowed: ${kept ? 'kept' : 'BROKEN'} ` +
    `(${certified} certified something; mean cost ${shortPercent(meanCost)} of full depth)`
  );
}
