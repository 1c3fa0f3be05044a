// The source is built in floors: a file imports from its own room and from lower floors, never up, never sideways, and
// never in a circle. `npm run floors` checks it; docs/architecture.md draws it.

/** Rooms of src, lowest floor first; rooms of one floor do not know each other. */
const FLOORS = [
  ['runtime'],
  ['text', 'statistics', 'charts', 'nn', 'checkpoint', 'data', 'metrics'],
  ['exit'],
  ['models'],
  ['generation'],
  ['tasks'],
  ['training'],
  ['evaluation'],
  ['calibration'],
  ['report'],
  ['node'],
  ['cli'],
];
const room = (names) => `^src/(${names.join('|')})/`;

/** Files that run on any platform. */
const ANYWHERE = {path: '^src/', pathNot: '^src/(node|cli)/|^src/node[.]ts$'};

/** A floor may not import any other room that is not below it. */
const floors = FLOORS.flatMap((rooms, floor) =>
  rooms.map((name) => ({
    name: `floor-of-${name}`,
    comment: `src/${name} stands on floor ${floor + 1}: it may import its own files and lower floors.`,
    severity: 'error',
    from: {path: room([name])},
    to: {
      path: ['^src/[^/]+[.]ts$', room([...rooms, ...FLOORS.slice(floor + 1).flat()].filter((other) => other !== name))],
    },
  })),
);

export default {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'Files that import each other cannot be read one after the other.',
      severity: 'error',
      from: {},
      to: {circular: true},
    },
    ...floors,
    {
      name: 'every-room-has-a-floor',
      comment: 'A new room of src gets its place in FLOORS.',
      severity: 'error',
      from: {path: '^src/[^/]+/', pathNot: room(FLOORS.flat())},
      to: {},
    },
    {
      name: 'platform-node',
      comment: "Only src/node and src/cli import Node's own modules.",
      severity: 'error',
      from: ANYWHERE,
      to: {dependencyTypes: ['core']},
    },
    {
      name: 'platform-backends',
      comment: 'Only src/node and src/cli import packages that are bound to a platform.',
      severity: 'error',
      from: ANYWHERE,
      to: {path: 'tfjs-backend|tfjs-node|^webgpu$|node_modules/webgpu/', pathNot: '^src/'},
    },
    {
      name: 'index-runs-anywhere',
      comment: 'src/index.ts is the table of contents of what runs on any platform.',
      severity: 'error',
      from: {path: '^src/index[.]ts$'},
      to: {path: room(['node', 'cli'])},
    },
    {
      name: 'families-share-no-code',
      comment: 'A family of models can be read, changed and removed without the other.',
      severity: 'error',
      from: {path: '^src/models/([^/]+)/'},
      to: {path: '^src/models/[^/]+/', pathNot: '^src/models/$1/'},
    },
    {
      name: 'families-stay-behind-their-interface',
      comment: 'These rooms serve every family of models.',
      severity: 'error',
      from: {path: room(['nn', 'exit', 'generation', 'evaluation', 'calibration', 'report'])},
      to: {path: '^src/models/[^/]+/'},
    },
  ],
  options: {
    doNotFollow: {path: 'node_modules'},
    tsConfig: {fileName: 'tsconfig.json'},
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {extensions: ['.ts', '.js', '.mjs', '.json']},
  },
};
