import type {VisionLanguageModel} from '../../src/models/model.js';

/** A model that notes the targets of every teacher-forced pass. */
export function watchTargets(model: VisionLanguageModel): {
  watched: VisionLanguageModel;
  targets: (readonly (readonly number[])[])[];
} {
  const targets: (readonly (readonly number[])[])[] = [];
  const score: VisionLanguageModel['score'] = (encoded, input, policy, options) => {
    targets.push(input.targets);
    return model.score(encoded, input, policy, options);
  };
  return {watched: Object.create(model, {score: {value: score}}) as VisionLanguageModel, targets};
}
