import {riskUpperBound} from '../../../src/calibration/risk/bounds.js';
import {riskPValue} from '../../../src/statistics/hoeffding-bentkus.js';

test.each(['hoeffding-bentkus', 'binomial', 'hoeffding'] as const)(
  'riskUpperBound: inverts the p-value of %s',
  (kind) => {
    const bound = riskUpperBound(0.01, 1000, 0.05, kind);
    expect(riskPValue(0.01, 1000, bound, kind)).toBeLessThanOrEqual(0.05);
    expect(riskPValue(0.01, 1000, bound - 1e-6, kind)).toBeGreaterThan(0.05);
  },
);
