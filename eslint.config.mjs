// Beside biome: a lost promise is a leak, and biome has no type information; and lists are not spread into calls.
import tseslint from 'typescript-eslint';

export default tseslint.config(
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
    languageOptions: {parser: tseslint.parser, parserOptions: {project: './tsconfig.json'}},
    plugins: {'@typescript-eslint': tseslint.plugin},
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      // A list that is spread into a call stands on the stack, which ends at some 100,000 (src/runtime/extremes.ts).
      'no-restricted-syntax': [
        'error',
        {
          selector: 'CallExpression[callee.property.name=/^(push|unshift|max|min|hypot|concat)$/] > SpreadElement',
          message: 'Use append, largest or smallest of src/runtime/extremes.ts.',
        },
      ],
    },
  },
);
