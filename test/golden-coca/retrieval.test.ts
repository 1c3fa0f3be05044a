import {never} from '../../src/exit/policy.js';
import {recallAt} from '../../src/metrics/retrieval.js';
import type {CocaPipeline} from '../../src/tasks/coca-processor.js';
import {type Classifier, classify, TEMPLATES, zeroShotClassifier} from '../../src/tasks/zero-shot.js';
import {onBackends} from '../support/backends.js';
import {closeArrays} from '../support/golden/close-to.js';
import {cocaCaptioner} from '../support/models/coca-captioner.js';
import {pixelsOf} from '../support/models/coca-inputs.js';
import {cocaArrays, cocaJson, describeCoca} from '../support/golden/golden-coca.js';

describeCoca("recall equals open_clip's benchmark", ['micro/goldens.json', 'micro/goldens.safetensors'], () => {
  test('both directions', () => {
    const {retrieval} = cocaJson<{retrieval: Record<string, number> & {caption_owner: number[]}}>('micro/goldens.json');
    const {data, shape} = cocaArrays('micro/goldens.safetensors')['retrieval.similarity']!;
    const [pictures, texts] = shape as [number, number];
    const rows = Array.from({length: pictures}, (_, p) =>
      Float32Array.from(data as Float32Array).slice(p * texts, (p + 1) * texts),
    );
    for (const {k, textToImage, imageToText} of recallAt(rows, retrieval.caption_owner, [1, 5, 10])) {
      expect(textToImage).toBeCloseTo(retrieval[`text_to_image_R@${k}`]!, 8);
      expect(imageToText).toBeCloseTo(retrieval[`image_to_text_R@${k}`]!, 8);
    }
  });
});

const FILES = ['fullvocab/goldens.json', 'fullvocab/goldens.safetensors', 'fullvocab/open_clip_model.safetensors'];
describeCoca("a zero-shot classifier equals open_clip's, from words to numbers", FILES, () => {
  onBackends('classifier', () => {
    const {zero_shot, captions} = cocaJson<{zero_shot: {classes: string[]; templates: string[]}; captions: string[]}>(
      'fullvocab/goldens.json',
    );
    const arrays = cocaArrays('fullvocab/goldens.safetensors');
    const classes = zero_shot.classes.length;
    let model: CocaPipeline;
    let classifier: Classifier;
    beforeAll(async () => {
      model = await cocaCaptioner();
      classifier = await zeroShotClassifier(model, zero_shot.classes);
    });
    afterAll(() => model[Symbol.dispose]());

    test('templates and classifier', () => {
      expect(TEMPLATES).toEqual(zero_shot.templates);
      const expected = arrays['zero_shot.classifier']!.data as Float32Array;
      for (const [c, point] of classifier.points.entries())
        closeArrays(
          point,
          point.map((_, i) => expected[i * classes + c]!),
          1e-5,
        );
    });
    test('logits', async () => {
      const pixels = pixelsOf(arrays['pixels']!);
      const {features} = await model.model.embedImages(pixels, never);
      const vectors = (await features.array()) as number[][];
      pixels.dispose();
      features.dispose();
      const expected = arrays['zero_shot.logits']!.data as Float32Array;
      for (const [p, vector] of vectors.entries()) {
        const found = new Map(classify(Float32Array.from(vector), classifier).map(({label, logit}) => [label, logit]));
        closeArrays(
          zero_shot.classes.map((label) => found.get(label)!),
          expected.slice(p * classes, (p + 1) * classes),
          5e-4,
        );
      }
    });
    test('texts, from words to embeddings', async () => {
      const expected = arrays['text_features']!.data as Float32Array;
      for (const [t, text] of captions.entries()) {
        const {vector} = await model.embedText(text);
        closeArrays(vector, expected.slice(t * vector.length, (t + 1) * vector.length), 1e-5);
      }
    });
  });
});
