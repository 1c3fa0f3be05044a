import {report} from '../../src/report/report.js';
import {frontOf, reportPoints} from '../../src/report/points.js';
import {parseSweep} from '../../src/calibration/sweep/file.js';
import {sampleSweep} from '../support/data/evaluation-sample.js';

const sweep = parseSweep(sampleSweep(), 'sweep.json');
const inputs = {evaluations: [], sweeps: [{name: 'a <b>', sweep}], plans: []};
const file = (name: string): string => report(inputs).find((f) => f.name === name)!.content;

test('reportPoints: a sweep with its baselines, their names, thresholds, and layers as MuE counts them', () => {
  const points = reportPoints(inputs);
  expect(points.map(({policy}) => policy)).toEqual([
    'full depth',
    'similarity',
    'similarity',
    'similarity',
    '<script>',
    'static depth',
    'random',
    'oracle decoder-agreement',
  ]);
  expect(points[1]).toMatchObject({
    setting: 'image 0.9, text never, decoder 0.9',
    layers: 6,
    depth: 12,
    macs: 1.9e9,
    quality: 0.945,
    n: 40,
  });
  expect(points[6]).toMatchObject({layers: 6, macs: 1.9e9, quality: 0.85});
  expect(points[6]!.setting).toContain('similarity: image 0.9');
});

test('frontOf: holds the points that no cheaper one matches', () => {
  const points = reportPoints(inputs).filter(({policy}) => policy === 'similarity');
  expect(frontOf(points, 'layers').map(({quality}) => quality)).toEqual([0.8, 0.945]);
  expect(frontOf(points, 'ms')).toEqual([]);
});

test('report: the page escapes texts, needs nothing from elsewhere, and holds the thresholds behind its points', () => {
  const html = file('index.html');
  expect(html).not.toContain('<script>,');
  expect(html).not.toContain('a <b>');
  expect(html).toContain('&#60;script&#62;');
  expect(html).not.toMatch(/(?:src|href)=|url\(|@import/);
  expect(html).toMatch(/<title>similarity: similarity: image 0\.5, text never, decoder 0\.5\naccuracy 80\.00 %/);
  expect(html).toContain('No chart of milliseconds');
  expect(html.match(/<svg /g)).toHaveLength(2);
});

test('report: CSV of all points with fronts, JSON, an SVG for each chart, the page last', () => {
  const files = report(inputs);
  expect(files.map(({name}) => name)).toEqual([
    'snli-ve-layers.svg',
    'snli-ve-macs.svg',
    'points.csv',
    'report.json',
    'index.html',
  ]);
  const lines = file('points.csv').trimEnd().split('\r\n');
  expect(lines).toHaveLength(9);
  expect(lines[0]).toMatch(
    /^task,source,kind,exact,policy,setting,n,accuracy,retention,agreement,layers encoder\.image,/,
  );
  expect(lines[2]).toContain('similarity,"image 0.9, text never, decoder 0.9",40,0.945,');
  expect(lines.map((line) => line.split(',').slice(-3).join())).toEqual([
    'on front of layers,on front of macs,on front of ms',
    'true,true,false',
    'false,false,false',
    'true,true,false',
    'false,false,false',
    'true,true,false',
    'false,false,false',
    'false,false,false',
    'false,false,false',
  ]);
  expect(JSON.parse(file('report.json'))).toMatchObject({fronts: {'snli-ve': {layers: [2, 4, 0], ms: []}}});
});

test('report: shows a plan with its certificate; makes names harmless that a spreadsheet would compute', () => {
  const plan = {
    version: 1,
    mode: 'corrected',
    skippedKv: 'project',
    stacks: {decoder: {policy: 'softmax-margin', threshold: 0.9}},
    certificate: {alpha: 0.01, tested: [{candidate: 3, pValue: 0.0123456}]},
  } as const;
  const files = report({...inputs, sweeps: [{name: '=1+1', sweep}], plans: [{name: 'plan.json', plan}]});
  const html = files.at(-1)!.content;
  expect(html).toMatch(/<td>alpha<\/td><td>0\.01<\/td>/);
  expect(html).toContain('0.012346');
  expect(files.find(({name}) => name === 'points.csv')!.content).toContain("snli-ve,'=1+1,");
});

test.each([
  ['report-empty', () => report({evaluations: [], sweeps: [], plans: []})],
  ['sweep-empty', () => parseSweep({task: 'vqa', points: []}, 'x')],
  ['sweep-corrupt', () => parseSweep({points: [{accuracy: 'high'}]}, 'x')],
  ['sweep-corrupt', () => parseSweep([], 'x')],
])('report and parseSweep: %s', (code, run) => {
  expect(run).toThrow(expect.objectContaining({code}));
});
