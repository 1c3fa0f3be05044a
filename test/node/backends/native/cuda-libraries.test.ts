import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {missingCudaLibraries} from '../../../../src/node/backends/native/cuda-libraries.js';

test("NVIDIA's libraries are looked for beside the build and on the search path, and named where they are absent", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-cuda-'));
  const put = (file: string): void => {
    fs.mkdirSync(path.dirname(path.join(folder, file)), {recursive: true});
    fs.writeFileSync(path.join(folder, file), '');
  };
  try {
    const all = missingCudaLibraries(folder, '');
    // A machine with CUDA 12 installed lacks none of them.
    expect(all.every((name) => /^lib\w+\.so\.\d+$/.test(name))).toBe(true);
    put('nvidia/cuda_runtime/lib/libcudart.so.12');
    put('elsewhere/libcudnn.so.9');
    const fewer = missingCudaLibraries(folder, `/none:${path.join(folder, 'elsewhere')}`);
    expect(fewer).toEqual(all.filter((name) => name !== 'libcudart.so.12' && name !== 'libcudnn.so.9'));
    expect(fewer).not.toContain('libcudart.so.12');
  } finally {
    fs.rmSync(folder, {recursive: true});
  }
});
