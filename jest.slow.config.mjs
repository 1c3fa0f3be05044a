// What `npm test` leaves out: see jest.config.mjs.
import config from './jest.config.mjs';

/** Suites whose numbers are compared with references, which run once more, on the cpu backend. */
const NUMBERS = ['golden/*', 'golden-coca/*', 'models/ofa/{model,prefill}', 'tasks/batch'];

process.env.MUE_TEST_BACKEND ??= 'cpu';

export default {
  ...config,
  testPathIgnorePatterns: [],
  testMatch: ['**/*.slow.test.ts', ...NUMBERS.map((suite) => `<rootDir>/test/${suite}.test.ts`)],
};
