import type {CaptionCertificate} from '../../calibration/captions/certificate.js';
import type {CaptionCoverage} from '../../calibration/captions/recorded-runs.js';
import {layersText, settingText} from '../../calibration/sweep/text.js';
import {InputError} from '../../runtime/errors.js';
import {shortPercent} from '../../text/format.js';

/** The error of a calibration of captions that chose nothing: how far off it is, and how many pictures would do. */
export function noCaptionsCertified(certificate: CaptionCertificate, fewest: number): InputError {
  const {alpha, delta, tested, n2, itemsNeeded} = certificate;
  const safest = tested[0];
  const seen =
    safest === undefined
      ? ' (no candidate saves anything)'
      : ` (the safest candidate loses ${shortPercent(safest.drop)} on ${safest.items} pictures, p = ${safest.pValue.toPrecision(3)})`;
  const least = `Even a setting that loses nothing needs ${fewest} pictures in the test; ${n2} were there. `;
  const hint =
    itemsNeeded === null
      ? 'With such losses no number of pictures would do: allow a larger drop, or name other candidates (--policy, --grid).'
      : `With such losses about ${itemsNeeded} test pictures are needed, hence ${Math.ceil(itemsNeeded / 0.8)} in all; or allow a larger drop.`;
  return new InputError(
    'nothing-certified',
    `no captions can be certified to lose at most ${shortPercent(alpha)} with ${shortPercent(1 - delta)} confidence${seen}`,
    {hint: (n2 < fewest && itemsNeeded !== null ? least : '') + hint},
  );
}

/** The chosen setting and what is promised and expected of it, for people. */
export function* captionCertificateText({
  candidates,
  chosen,
  alpha,
  delta,
  score,
  tested,
  n1,
  expected,
  promise,
  assumptions,
}: CaptionCertificate): Generator<string> {
  const {setting, pValue, drop, items} = chosen!;
  const {layers, etr, macs, retention, agreement, dropUpperBound} = expected!;
  yield `chosen of ${candidates}: ${settingText(setting)}`;
  yield `certified: ${score} falls by at most ${shortPercent(alpha)}, except with probability ${delta} ` +
    `(p = ${pValue.toPrecision(3)} after ${items} pictures, ${tested.length} candidates tested in sequence; ${n1} pictures chose)`;
  yield `seen in the test: a drop of ${shortPercent(drop)}; upper bound by itself ${shortPercent(dropUpperBound)}`;
  yield `expected: ${shortPercent(retention)} of full depth's ${score}, the same caption for ${shortPercent(agreement)}, ` +
    `layers ${layersText(layers)}, saves ${shortPercent(etr)} of layers, ${shortPercent(macs.saved)} of MACs; ` +
    'measure wall-clock with `mue evaluate`';
  yield promise;
  yield assumptions;
}

/** How often the promise was broken on samples, on one line. */
export function captionCoverageText(check: CaptionCoverage, {maxDrop}: {readonly maxDrop: number}): string {
  const {samples, n, violations, rate, limit, kept, certified, meanSaved} = check;
  return (
    `promise: of ${samples} calibrations on ${n} drawn pictures, ${violations} chose a plan that loses more than ` +
    `${shortPercent(maxDrop)}: ${shortPercent(rate)}, at most ${shortPercent(limit)} allowed: ${kept ? 'kept' : 'BROKEN'} ` +
    `(${certified} certified something, saving ${shortPercent(meanSaved)} on average)`
  );
}
