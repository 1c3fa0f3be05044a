// Properties (fast-check) draw the same cases in every run, so that a failure is there again when it is looked for.
// MUE_TEST_SEED names another seed: `MUE_TEST_SEED=7 npm run jest -- test/checkpoint`.
import fc from 'fast-check';

fc.configureGlobal({seed: Number(process.env['MUE_TEST_SEED'] ?? 1)});
