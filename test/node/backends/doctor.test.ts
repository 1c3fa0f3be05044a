import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {doctorSchema} from '../../../src/cli/schemas/models.js';
import {type DoctorReport, doctor, formatDoctor} from '../../../src/node/backends/doctor.js';

// The doctor starts compiled code (`npm test` builds first).
const child = fileURLToPath(new URL('../../../dist/node/backends/doctor-child.js', import.meta.url));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-doctor-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));

test('doctor: tries and measures each device', async () => {
  const report = await doctor({child, devices: ['native', 'wasm'], benchSeconds: 0.05, nativeFolder: folder});
  expect(doctorSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(JSON.parse(JSON.stringify(report)));
  expect(report.devices.map(({device, ok}) => [device, ok])).toEqual([
    ['native', false],
    ['wasm', true],
  ]);
  expect(report.devices[0]).toMatchObject({
    reason: 'not built',
    hint: expect.stringMatching(/^mue native cpu; or, .*@tensorflow\/tfjs-node/),
  });
  expect(report.devices[1]).toMatchObject({backend: 'wasm', threads: expect.any(Number) as number});
  const bench = report.devices[1]?.bench;
  expect(bench?.matMulGflops).toBeCloseTo((2 * 300 * 768 * 768) / (bench?.matMulMs ?? 0) / 1e6, 3);
  expect(bench?.opMicros).toBeGreaterThan(0);
  expect(report.auto).toBe('wasm');
  const text = formatDoctor(report);
  expect(text).toMatch(/native {4}✗ not built\n +→ mue native cpu/);
  expect(text).toMatch(/wasm +[\d.]+ +[\d.]+ +[\d.]+ +✓ wasm \((relaxed )?SIMD, \d+ threads?\)/);
  expect(text).toContain('--device auto takes wasm.');
});

test('doctor: the reason of WebGPU has what Dawn says of the adapters that it passed by', async () => {
  const dawn = path.join(folder, 'dawn.mjs');
  fs.writeFileSync(
    dawn,
    `console.error('Warning: vkCreateInstance: Found no drivers!\\nWarning: vkCreateInstance failed');
    console.log(JSON.stringify({device: process.argv[2], ok: false, reason: 'Dawn finds no GPU', hint: 'install'}));`,
  );
  const report = await doctor({child: dawn, devices: ['webgpu', 'native']});
  expect(report.devices.map(({reason}) => reason)).toEqual([
    'Dawn finds no GPU: vkCreateInstance: Found no drivers!',
    'Dawn finds no GPU',
  ]);
});

test.each([
  [
    'a crash',
    "console.error('driver: bad state'); process.kill(process.pid, 'SIGSEGV'); setTimeout(() => {}, 1e4);",
    /took its process down \(SIGSEGV\): driver: bad state/,
  ],
  ['an early exit', 'process.exit(7);', /took its process down \(exit code 7\)/],
  ['a hang', 'setTimeout(() => {}, 6e4);', /gave no answer in 1 s/],
])('doctor: reports %s of one device, and tries the next', async (_, code, reason) => {
  const bad = path.join(folder, 'bad.mjs');
  fs.writeFileSync(
    bad,
    `if (process.argv[2] === 'native') {${code}} else console.log(JSON.stringify({device: process.argv[2], ok: true, note: 'fine'}));`,
  );
  const report: DoctorReport = await doctor({child: bad, devices: ['native', 'wasm'], timeoutSeconds: 1});
  expect(report.devices[0]).toMatchObject({device: 'native', ok: false, reason: expect.stringMatching(reason)});
  expect(report.devices[1]).toMatchObject({device: 'wasm', ok: true});
  expect(report.auto).toBe('wasm');
});
