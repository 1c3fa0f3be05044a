// The suites come in two sets, so that people wait minutes for the first:
// - `npm test`: every suite but the slow ones, numbers on the wasm backend alone;
// - `npm run test:slow`: the suites called `*.slow.test.ts`, which kill processes and run whole sweeps in processes of
//   their own; and, on the cpu backend (plain JavaScript: exact and slow), the suites that hold numbers to references
//   (jest.slow.config.mjs). `npm run test:all` is both, and CI runs both. MUE_TEST_BACKEND=native,wasm names other
//   backends for the numbers.
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: ['[.]slow[.]test[.]ts$'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$|/@tensorflow/tfjs-(core|backend-cpu)/.+\\.js$': '<rootDir>/test/support/local-globals.mjs',
  },
  transformIgnorePatterns: ['/node_modules/(?!@tensorflow/tfjs-(core|backend-cpu)/)'],
  // Sources import each other as './x.js' (what tsc leaves in dist); in tests they are the .ts files.
  moduleNameMapper: {'^(\\.{1,2}/.*)\\.js$': '$1'},
  setupFiles: ['<rootDir>/src/runtime/dispose-symbol.ts', '<rootDir>/test/support/seeded-properties.ts'],
  maxWorkers: 2,
  // Modules of finished suites stay in a worker's heap: a fresh one takes over before it is full.
  workerIdleMemoryLimit: '1200MB',
  testTimeout: 120000,
};
