// A process of `bench compare <folder> <folder>`: the shipped model of a build, which answers pictures whenever a message
// comes, by what every release of the package exports.
//   node builds-child.mjs <folder of the build> <task> <exits> <threads> <picture>…
import fs from 'node:fs';
import path from 'node:path';
import {pathToFileURL} from 'node:url';

const [folder, task, exit, threads, ...pictures] = process.argv.slice(2);
const {loadModel} = await import(pathToFileURL(path.join(folder, 'dist', 'node.js')).href);
const model = await loadModel(undefined, {device: 'wasm', threads: Number(threads)});
const images = pictures.map((file) => fs.readFileSync(file));
const options = exit === 'never' ? {exit} : {};
const ask = (image) =>
  task === 'caption' ? model.caption(image, options) : model.entail(image, 'there is something', options);

async function pass() {
  const answers = [];
  const [cpu, began] = [process.cpuUsage(), performance.now()];
  for (const image of images) {
    const {text, label} = await ask(image);
    answers.push(text ?? label);
  }
  const [wall, {user, system}] = [performance.now() - began, process.cpuUsage(cpu)];
  return {wall: wall / images.length, cpu: (user + system) / 1e3 / images.length, answers};
}

// The first pass compiles and packs.
await pass();
process.on('message', async () => process.send(await pass()));
process.on('disconnect', () => process.exit());
process.send('ready');
