import {savedCells, speedPage} from '../../../bench/report/speed-page.js';
import {result, row} from '../../support/bench-result.js';

describe('speedPage', () => {
  const total = (group: string, median: number, macs: number) => row('total', median, median, median, {group, macs});

  test('says what exits save, in time and in MACs', () => {
    const rows = [
      total('caption, every layer', 200, 4e9),
      total("caption, the model's plan", 150, 2e9),
      total('snli-ve, every layer', 1, 1),
    ];
    expect(savedCells(rows).slice(1)).toEqual([['caption', '50.0', '25.0 %', '50.0 %']]);
  });

  test("puts the authors' seconds beside ours, with the ratio where the processor is alike", () => {
    const other = result([row('full', 1.635, 1, 2, {group: 'caption', unit: 's'})], {
      what: 'base',
      settings: {size: 'base'},
    });
    const line = (page: string) => page.split('\n').find((text) => text.startsWith('| caption: full'));
    expect(line(speedPage([{name: 'a.json', result: other}], ''))).toMatch(/\| 3\.27 s \| other machine \|$/);
    const epyc = {...other, machine: {...other.machine, cpu: 'AMD EPYC'}};
    const page = speedPage([{name: 'a.json', result: epyc}], 'Notes of a person.');
    expect(page).toContain('Notes of a person.');
    expect(page).toContain('[a.json](speed/a.json)');
    expect(line(page)).toMatch(/\| 3\.27 s \| 0\.50 \|$/);
  });

  test('gives deciding as a share of its own layer', () => {
    const layer = (name: string, median: number) => row(name, median, median, median, {group: 'layer'});
    const rows = [
      layer('Base encoder, 900 tokens', 100),
      layer('Base deciding, 900 tokens', 2),
      layer('Base decoder, a step of 5 beams', 4),
      layer('Base deciding, a step of 5 beams', 1),
    ];
    const page = speedPage([{name: 'l.json', result: result(rows, {what: 'layers'})}], '');
    expect(page).toContain('Base encoder, 900 tokens: 2.0 %; Base decoder, a step of 5 beams: 25.0 %.');
  });

  test('takes for each section its own rows of a run of everything', () => {
    const rows = [row('matMul', 1), row('mue --help', 300, 1, 1, {group: 'command'})];
    const page = speedPage([{name: 'all.json', result: result(rows, {what: 'all'})}], '');
    const sections = page.split('\n## ');
    expect(sections.find((s) => s.startsWith('Operations'))).toContain('| matMul |');
    expect(sections.find((s) => s.startsWith('Operations'))).not.toContain('mue --help');
    expect(sections.find((s) => s.startsWith('Whole commands'))).toContain('| mue --help |');
    expect(sections.some((s) => s.startsWith('Layers'))).toBe(false);
  });
});
