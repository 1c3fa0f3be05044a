// Captions and questions in a few lines. Run after `npm run build`:   node examples/caption.mjs [picture …]
import fs from 'node:fs';
import {loadModel} from 'mue-tfjs/node';

const files = process.argv.slice(2);
if (files.length === 0) files.push(new URL('pictures/01.png', import.meta.url).pathname);

// A folder that `mue convert` wrote; left out, the model that ships with the package. `using` would dispose it by itself.
const model = await loadModel(undefined, {device: 'wasm'});
console.log(`running on ${model.runsOn.note}`);

for (const file of files) {
  const picture = fs.readFileSync(file);
  // The model's own exit plan is the default; 'never' runs every layer.
  const full = await model.caption(picture, {exit: 'never'});
  const early = await model.caption(picture, {num_beams: 5});
  console.log(`${file}\n  all layers  ${full.text}  (${full.ms.total.toFixed(0)} ms)`);
  console.log(
    `  early exit  ${early.text}  (${early.ms.total.toFixed(0)} ms, ${(100 * (1 - early.macs.run / early.macs.full)).toFixed(0)} % of MACs saved)`,
  );

  // One beam can be streamed, each word with the layers that it took.
  await model.caption(picture, {
    num_beams: 1,
    onToken: ({text, traces}) => console.log(`  ${traces[0].exitLayer}/${traces[0].depth}  ${text}`),
  });

  const {text, scores} = await model.entail(picture, 'there are two big cupcakes');
  console.log(`  two big cupcakes? ${text} (${(100 * Math.exp(scores[text])).toFixed(1)} %)`);
  const answer = await model.ask(picture, 'where are the cupcakes?', {
    answers: ['in a room', 'on the street', 'in the sea'],
  });
  console.log(`  where? ${answer.text}`);
}
model[Symbol.dispose]();
