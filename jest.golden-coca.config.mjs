// The suites that hold CoCa to open_clip's numbers, and nothing else. GOLDEN_COCA_DIR names another folder of goldens.
import config from './jest.config.mjs';

export default {...config, testMatch: ['<rootDir>/test/golden-coca/*.test.ts']};
