import {type RiskTest, riskPValue} from '../../statistics/hoeffding-bentkus.js';
import {checkDelta} from './p-values.js';

/** Upper confidence bound of a risk: the true risk lies above it with probability at most δ. Inverts `riskPValue`. */
export function riskUpperBound(risk: number, n: number, delta: number, test: RiskTest = 'hoeffding-bentkus'): number {
  checkDelta(delta);
  let low = risk;
  let high = 1;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (middle <= 0 || middle >= 1 || riskPValue(risk, n, middle, test) > delta) low = middle;
    else high = middle;
  }
  return high;
}
