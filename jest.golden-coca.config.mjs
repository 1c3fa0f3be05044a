// The suites that hold CoCa to open_clip's numbers, and nothing else, on wasm and cpu.
// GOLDEN_COCA_DIR names another folder of goldens.
import config from './jest.config.mjs';

process.env.MUE_TEST_BACKEND ??= 'wasm,cpu';

export default {...config, testMatch: ['<rootDir>/test/golden-coca/*.test.ts']};
