import {preCaption, preQuestion} from '../data/text-cleaning.js';

// Prompts of OFA's tasks, word for word (docs/reference/ofa-mue.md 8). Every prompt begins with a space.

const MOST_OBJECTS = 30;

export const CAPTION_PROMPT = ' what does the image describe?';

/** The three answers, in the release's order. */
export const ENTAILMENT_ANSWERS = ['no', 'yes', 'maybe'] as const;

/** Visual entailment, about the picture alone or with a text premise; texts cleaned as the release does. */
export function entailmentPrompt(hypothesis: string, premise: string | undefined, maxWords: number): string {
  const clean = preCaption(hypothesis, maxWords);
  return premise === undefined
    ? ` does the image describe " ${clean} "?`
    : ` can image and text1 " ${preCaption(premise, maxWords)} " imply text2 " ${clean} "?`;
}

/**
 * A question, with its question mark, and the objects that a detector saw (`add_object`), the first 30.
 * @param objects undefined: the prompt says nothing of objects; an empty list: it says that there are none
 */
export function questionPrompt(question: string, maxWords: number, objects?: readonly string[]): string {
  const clean = preQuestion(question, maxWords);
  const asked = ` ${clean.endsWith('?') ? clean : `${clean}?`}`;
  return objects ? `${asked} object: ${objects.slice(0, MOST_OBJECTS).join(' ')}` : asked;
}
