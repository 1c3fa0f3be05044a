export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {'^.+\\.ts$': '@swc/jest'},
  // Sources import each other as './x.js' (what tsc leaves in dist); in tests they are the .ts files.
  moduleNameMapper: {'^(\\.{1,2}/.*)\\.js$': '$1'},
  setupFiles: ['<rootDir>/src/runtime/dispose-symbol.ts'],
  maxWorkers: 2,
  testTimeout: 120000,
};
