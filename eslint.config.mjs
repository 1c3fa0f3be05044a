// One typed rule set beside biome: a lost promise is a leak, and biome has no type information.
import tseslint from 'typescript-eslint';

export default tseslint.config({
  files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
  languageOptions: {parser: tseslint.parser, parserOptions: {project: './tsconfig.json'}},
  plugins: {'@typescript-eslint': tseslint.plugin},
  rules: {
    '@typescript-eslint/no-floating-promises': 'error',
    '@typescript-eslint/no-misused-promises': 'error',
    '@typescript-eslint/await-thenable': 'error',
  },
});
