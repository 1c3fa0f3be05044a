export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': '@swc/jest',
    '/@tensorflow/tfjs-(core|backend-cpu)/.+\\.js$': '<rootDir>/test/support/local-globals.mjs',
  },
  transformIgnorePatterns: ['/node_modules/(?!@tensorflow/tfjs-(core|backend-cpu)/)'],
  // Sources import each other as './x.js' (what tsc leaves in dist); in tests they are the .ts files.
  moduleNameMapper: {'^(\\.{1,2}/.*)\\.js$': '$1'},
  setupFiles: ['<rootDir>/src/runtime/dispose-symbol.ts'],
  maxWorkers: 2,
  // Modules of finished suites stay in a worker's heap: a fresh one takes over before it is full.
  workerIdleMemoryLimit: '1200MB',
  testTimeout: 120000,
};
